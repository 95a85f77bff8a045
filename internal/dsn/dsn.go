// Package dsn composes delivery status notifications. A report tells the sender about recipients of a message: as text
// for people, and as fields for programs (RFC 3464, in a multipart/report of RFC 6522; RFC 6533 for addresses that are
// not ASCII).
//
// A report is a valid message for any reply of a relay and any original: no text can end a field early, no line is
// longer than 998 octets, and octets above 127 occur only where the part declares 8bit.
package dsn

import (
	"bufio"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
	"time"
)

// Action is the action field of a recipient (RFC 3464, section 2.3.3).
type Action string

// The actions of reports. RFC 3464 has two others, delivered and expanded.
const (
	Failed  Action = "failed"  // given up
	Delayed Action = "delayed" // not delivered yet; attempts go on
	Relayed Action = "relayed" // accepted by a relay without DSN (RFC 3461, section 5.2.2)
)

// Report is a report on one message. Host, To, Date, Recipients and Original are required.
type Report struct {
	Host       string      // name of the reporting host
	To         string      // sender of the message, who gets the report
	Date       time.Time   // date of the report
	Arrival    time.Time   // arrival of the message; zero: not known
	EnvID      string      // envelope identifier (RFC 3461, section 4.4), decoded from xtext; empty: none
	Kept       string      // path of the kept message, as "failed/NAME"; empty: not kept
	Recipients []Recipient // recipients of the report's groups
	Others     int         // number of the message's recipients that are not in Recipients
	Full       bool        // return the whole message, up to MaxFull octets; false: the header only

	// Original returns a reader of the message from its start. Lines end in CRLF; there is no other CR or LF.
	Original func() io.Reader
}

// Recipient is a recipient in a report. Address and Action are required.
type Recipient struct {
	Address  string
	ORcpt    string // as "rfc822;a@example.com" (RFC 3461, section 4.2), decoded from xtext; empty: not given
	Action   Action
	Status   string    // enhanced status code (RFC 3463); empty: taken from Reply or chosen by Action
	Relay    string    // relay of the reply, as "mail.example.com:25"; empty: none
	Reply    string    // reply of the relay, as "550 5.1.1 no such user"; empty: none
	Reason   string    // reason of a failure without a reply
	Attempts int       // number of attempts
	Last     time.Time // time of the last attempt; zero: none
	Until    time.Time // Delayed: time after which attempts end; zero: not known
}

// MaxFull is the maximum size in octets of a message that a report returns whole.
const MaxFull = 1 << 20

// Compose writes the report r to w, with CRLF line ends and without an envelope. It reads the original twice and keeps
// neither message in memory. An error is an error of w or of the original; the output is incomplete then.
func Compose(w io.Writer, r *Report) error {
	o, err := examine(r.Original(), r.full())
	if err != nil {
		return fmt.Errorf("read the message to report on: %w", err)
	}
	out := bufio.NewWriter(w)
	parts := multipart.NewWriter(out)
	if _, err := out.Write(r.header(o, parts.Boundary())); err != nil {
		return err
	}
	if err := r.writeText(parts, o); err != nil {
		return err
	}
	if err := r.writeStatus(parts); err != nil {
		return err
	}
	if err := r.writeOriginal(parts, o); err != nil {
		return err
	}
	if err := parts.Close(); err != nil {
		return err
	}
	return out.Flush()
}

// full reports whether the report should return the whole message: only for failures (RFC 3461, section 4.3).
func (r *Report) full() bool { return r.Full && r.has(Failed) }

func (r *Report) has(a Action) bool { return len(r.of(a)) > 0 }

// of returns the recipients with an action.
func (r *Report) of(a Action) (list []*Recipient) {
	for i := range r.Recipients {
		if r.Recipients[i].Action == a {
			list = append(list, &r.Recipients[i])
		}
	}
	return list
}

// host returns the reporting host for an address; "localhost" if Host is not valid there.
func (r *Report) host() string {
	if !isHost(r.Host) {
		return "localhost"
	}
	return r.Host
}

// header returns the header of the report and the blank line. The header is ASCII unless the sender's address is not.
func (r *Report) header(o *original, boundary string) []byte {
	subject := "Not delivered: "
	switch {
	case r.has(Failed):
	case r.has(Delayed):
		subject = "Not delivered yet: "
	default:
		subject = "Handed on: "
	}
	if o.subject == "" {
		subject = strings.TrimSuffix(subject, ": ")
	}
	subject = strings.ReplaceAll(mime.QEncoding.Encode("utf-8", subject+cut(o.subject, 200)), "\r\n", "")
	b := appendField(nil, "From", "Mail Delivery System <MAILER-DAEMON@"+r.host()+">")
	b = appendField(b, "To", "<"+clean(r.To)+">")
	b = appendField(b, "Subject", subject)
	b = appendField(b, "Date", r.Date.Format(time.RFC1123Z))
	b = appendField(b, "Message-ID", r.messageID(o))
	if o.messageID != "" {
		b = appendField(b, "In-Reply-To", o.messageID)
		b = appendField(b, "References", o.messageID)
	}
	b = appendField(b, "Auto-Submitted", "auto-replied")
	b = appendField(b, "MIME-Version", "1.0")
	b = appendField(b, "Content-Type", "multipart/report; report-type="+r.statusType()+"; boundary="+boundary)
	return append(b, "\r\n"...)
}

// messageID returns a Message-ID that is the same for the same report, so that a mail reader recognizes a second copy
// of the report, such as after a crash.
func (r *Report) messageID(o *original) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %d", o.messageID, r.To, r.Kept, r.Arrival.UnixNano())
	for _, rcpt := range r.Recipients {
		fmt.Fprintf(sum, " %q %q %d", rcpt.Address, rcpt.Action, rcpt.Last.UnixNano())
	}
	return "<" + strings.ToLower(base32.StdEncoding.EncodeToString(sum.Sum(nil)[:15])) + ".report@" + r.host() + ">"
}

// part starts a part of the report.
func part(parts *multipart.Writer, kind, encoding, description string) (io.Writer, error) {
	return parts.CreatePart(textproto.MIMEHeader{
		"Content-Type":              {kind},
		"Content-Transfer-Encoding": {encoding},
		"Content-Description":       {description},
	})
}
