package dsn

import (
	"mime/multipart"
	"net"
	"strconv"
	"strings"
	"time"
)

// global reports whether the status part has addresses that are not ASCII (RFC 6533).
func (r *Report) global() bool {
	for i := range r.Recipients {
		if !isASCII(r.Recipients[i].Address) || !isASCII(r.Recipients[i].ORcpt) {
			return true
		}
	}
	return false
}

// statusType returns the subtype of the status part, which is also the report-type (RFC 6522, section 3).
func (r *Report) statusType() string {
	if r.global() {
		return "global-delivery-status"
	}
	return "delivery-status"
}

// writeStatus writes the second part: a group of fields for the message, and a group for each recipient.
func (r *Report) writeStatus(parts *multipart.Writer) error {
	text, encoding := toASCII, "7bit"
	if r.global() {
		text, encoding = func(s string) string { return s }, "8bit"
	}
	w, err := part(parts, "message/"+r.statusType(), encoding, "Delivery report")
	if err != nil {
		return err
	}
	b := appendField(nil, "Reporting-MTA", "dns; "+r.host())
	if id := clean(r.EnvID); id != "" {
		b = appendField(b, "Original-Envelope-Id", text(id))
	}
	b = appendDate(b, "Arrival-Date", r.Arrival)
	for i := range r.Recipients {
		b = append(b, "\r\n"...)
		b = r.Recipients[i].appendFields(b, text)
		if _, err := w.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	return nil
}

// appendFields appends the fields of a recipient (RFC 3464, section 2.3).
func (r *Recipient) appendFields(b []byte, text func(string) string) []byte {
	if kind, addr, ok := strings.Cut(clean(r.ORcpt), ";"); ok {
		b = appendField(b, "Original-Recipient", text(kind+"; "+strings.TrimSpace(addr)))
	}
	b = appendField(b, "Final-Recipient", text(addressType(r.Address)+"; "+r.address()))
	b = appendField(b, "Action", string(r.Action))
	b = appendField(b, "Status", r.status())
	if host := hostOf(r.Relay); host != "" {
		b = appendField(b, "Remote-MTA", "dns; "+host)
	}
	if reply := clean(r.Reply); reply != "" {
		b = appendField(b, "Diagnostic-Code", text("smtp; "+reply))
	} else if reason := clean(r.Reason); reason != "" {
		b = appendField(b, "Diagnostic-Code", text("x-spoolgore; "+reason))
	}
	b = appendDate(b, "Last-Attempt-Date", r.Last)
	if r.Action == Delayed {
		b = appendDate(b, "Will-Retry-Until", r.Until)
	}
	return b
}

// address returns the address in one line. An invalid recipient may have an empty address.
func (r *Recipient) address() string {
	if addr := clean(r.Address); addr != "" {
		return addr
	}
	return "(empty)"
}

func addressType(addr string) string {
	if isASCII(addr) {
		return "rfc822"
	}
	return "utf-8"
}

func appendDate(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendField(b, name, t.Format(time.RFC1123Z))
}

// status returns the enhanced status code: Status, the code of the reply, or a general code (RFC 3463). A message given
// up after many attempts has no permanent error: the code is that of the last temporary reply, or 4.4.7 (delivery time
// expired).
func (r *Recipient) status() string {
	code, rest, _ := strings.Cut(clean(r.Reply), " ")
	enhanced, _, _ := strings.Cut(rest, " ")
	for _, s := range []string{r.Status, enhanced} {
		if r.suits(s) {
			return s
		}
	}
	switch {
	case r.Action == Relayed:
		return "2.0.0"
	case r.Action == Delayed:
		return "4.0.0"
	case strings.HasPrefix(code, "5") && len(code) == 3:
		return "5.0.0"
	}
	return "4.4.7"
}

// suits reports whether s is an enhanced status code of a class that goes with the action.
func (r *Recipient) suits(s string) bool {
	fields := strings.Split(s, ".")
	if len(fields) != 3 || len(fields[0]) != 1 {
		return false
	}
	for _, f := range fields[1:] {
		if n, err := strconv.ParseUint(f, 10, 16); err != nil || n > 999 || len(f) > 3 {
			return false
		}
	}
	return strings.Contains(map[Action]string{Failed: "45", Delayed: "4", Relayed: "2"}[r.Action], fields[0])
}

// final reports whether the failure is permanent: another attempt would fail too.
func (r *Recipient) final() bool { return strings.HasPrefix(r.status(), "5") }

// hostOf returns the host in the name of a relay. It is empty for a socket and for the domain of an MX or SRV lookup.
func hostOf(relay string) string {
	host := relay
	scheme, rest, ok := strings.Cut(relay, "://")
	switch {
	case ok && (scheme == "smtp" || scheme == "smtps" || scheme == "lmtp"):
		host = rest
	case strings.HasPrefix(relay, "lmtp:"):
		host = strings.TrimPrefix(relay, "lmtp:")
	case strings.HasPrefix(relay, "mx:"), strings.HasPrefix(relay, "srv:"):
		return ""
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else if !ok {
		return ""
	}
	if !isHost(host) {
		return ""
	}
	return host
}
