// Package dsn composes delivery reports: messages that tell a sender what became of his message, in words for people
// and in fields for programs (RFC 3464, in a multipart/report as RFC 6522 has it; RFC 6533 where an address is not ASCII).
//
// Whatever a relay has said and a message holds, a report is a valid message: its fields cannot be broken out of, no line
// is longer than 998 octets, and there are octets above 127 only where that is declared.
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

// Action is what has become of a recipient (RFC 3464, section 2.3.3).
type Action string

// The actions that are reported.
const (
	Failed  Action = "failed"  // given up
	Delayed Action = "delayed" // not delivered yet, and still tried
	Relayed Action = "relayed" // accepted by a relay that does not report on its own (RFC 3461, section 5.2.2)
)

// Report is what there is to report of one message. Host, To, Date, Recipients and Original are required.
type Report struct {
	Host       string           // name of the host that reports
	To         string           // sender of the message, who gets the report
	Date       time.Time        // of the report
	Arrival    time.Time        // of the message; zero: not known
	EnvID      string           // envelope identifier that the sender gave (RFC 3461, section 4.4), not as xtext; empty: none
	Kept       string           // file in which the message is kept, as "failed/NAME"; empty: there is none to tell of
	Recipients []Recipient      // whom the report is about
	Others     int              // further recipients of the message
	Full       bool             // the whole message is returned, if it is not beyond MaxFull; else its header only
	Original   func() io.Reader // the message from its start, at each call; lines end in CRLF, no CR or LF is alone
}

// Recipient is one whom a report is about. Address and Action are required.
type Recipient struct {
	Address  string
	ORcpt    string // original recipient (RFC 3461, section 4.2), as "rfc822;a@example.com", not as xtext; empty: not given
	Action   Action
	Status   string    // enhanced status code (RFC 3463); empty: that of Reply, or one that fits
	Relay    string    // who answered, as "mail.example.com:25"; empty: nobody
	Reply    string    // the answer, as "550 5.1.1 no such user"; empty: none
	Reason   string    // why, where there is no answer
	Attempts int       // that were made
	Last     time.Time // when the last one was; zero: none
	Until    time.Time // Delayed: it is tried until then; zero: not known
}

// MaxFull is the size up to which a message is returned whole, in octets.
const MaxFull = 1 << 20

// Compose writes the report r to w, with CRLF line ends and without an envelope. It reads the original twice, and holds
// neither. Its errors are those of w and of the original; what has been written then is of no use.
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

// full reports whether the whole message is to be returned, if it can be: RFC 3461, section 4.3, has it so for failures only.
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

// host is the name to speak in, fit for an address.
func (r *Report) host() string {
	if !isHost(r.Host) {
		return "localhost"
	}
	return r.Host
}

// header is the header of the report and the blank line after it. It is ASCII, unless the sender's address is not.
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

// messageID is the same for the same report, so that one that was made twice, as after a crash, can be told for that.
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
