// Package attempt describes the outcome of a delivery attempt for a recipient, and classifies SMTP failures. The
// package does no I/O. Each failure is classified once, in the SMTP client; the queue and the reports read the result.
package attempt

import (
	"fmt"
	"strconv"
	"time"
)

// Fault is the party at fault for a failed attempt. The fault decides what the queue does next.
type Fault int

// The faults. The order and the texts are the same as in the root package.
const (
	None      Fault = iota // no party: the transaction did not offer the recipient; the next transaction can, at once
	Relay                  // the relay is unusable: no attempt is counted
	Message                // the relay refused the message, or the message cannot be sent
	Recipient              // the relay refused the recipient, or the address cannot be sent
)

// String returns "none", "relay", "message" or "recipient".
func (f Fault) String() string {
	if f < None || f > Recipient {
		return fmt.Sprintf("Fault(%d)", int(f))
	}
	return [...]string{"none", "relay", "message", "recipient"}[f]
}

// Op is a step of an SMTP session. Status files and logs hold the text, so the texts never change.
type Op string

// The steps of a session, in order, and the checks before a transaction.
const (
	OpDial     Op = "dial"     // DNS lookup and connection
	OpGreeting Op = "greeting" // greeting of the relay
	OpEHLO     Op = "ehlo"     // EHLO, HELO or LHLO
	OpTLS      Op = "tls"      // STARTTLS, TLS handshake, certificate
	OpAuth     Op = "auth"     // AUTH
	OpMail     Op = "mail"     // MAIL, and the RSET before MAIL
	OpRcpt     Op = "rcpt"     // RCPT
	OpData     Op = "data"     // DATA
	OpContent  Op = "content"  // transfer of the content
	OpEnd      Op = "end"      // reply to the content; some relays reply before the end of the content
	OpExec     Op = "exec"     // run of the program of an exec: relay
	OpSize     Op = "size"     // message larger than the SIZE limit of the relay (RFC 1870); not offered
	OpEightBit Op = "8bitmime" // 8-bit message, no 8BITMIME (RFC 6152), no conversion possible; not offered
	OpUTF8     Op = "smtputf8" // address needs SMTPUTF8 (RFC 6531), relay does not offer SMTPUTF8; address was not sent
)

// Reply is a reply of a relay (RFC 5321, section 4.2). The zero value means no reply.
type Reply struct {
	Code     int    // three-digit code, such as 550
	Enhanced string // enhanced status code (RFC 2034), such as "5.1.1"; empty: none
	Text     string // text of all lines, joined by spaces; valid UTF-8 without control characters
}

// String returns the reply on one line, such as "550 5.1.1 no such user". String returns "" for no reply.
func (r Reply) String() string {
	if r.Code == 0 {
		return ""
	}
	text := strconv.Itoa(r.Code)
	if r.Enhanced != "" {
		text += " " + r.Enhanced
	}
	if r.Text != "" {
		text += " " + r.Text
	}
	return text
}

// Outcome is the result of one attempt for one recipient. The outcome is an acceptance if Err is nil.
type Outcome struct {
	Fault     Fault  // party at fault; None after an acceptance
	Permanent bool   // a retry is pointless
	Uncertain bool   // the content was sent completely and no valid reply came: the relay may have accepted the message
	Rested    bool   // Uncertain, on a connection after idle time that the relay had most likely closed before
	Undecided bool   // throttling or policy: the relay may be at fault, or the message; a retry after a while decides
	Throttled bool   // Undecided, and the relay asks for less mail
	Uncounted bool   // Undecided, and the relay accepted no other mail meanwhile: no attempt is counted
	Final     bool   // a refusal that is permanent if the relay is not at fault
	Cause     Cause  // reason why the relay is at fault; empty: none known
	Withdrawn bool   // this side took the offer back before the relay received the transaction
	DSN       bool   // the relay offers DSN (RFC 3461) and sends the reports; false: the sender's host does
	Op        Op     // failed step; empty after an acceptance
	Code      int    // code of the reply; zero: no reply
	Enhanced  string // enhanced status code of the reply (RFC 2034), such as "5.1.1"; empty: none
	Reply     string // reply of the relay to the content, or the refusal, on one line; empty: no reply
	Relay     string // address of the relay as configured
	Addr      string // IP address and port of the relay; empty: no session, or not known
	Redirect  string // address that the relay was offered in place of the recipient; empty: the recipient

	RetryAfter time.Duration // time that the other side asks to be left alone; zero: none

	TLS string // TLS version of the session, such as "TLS 1.3"; empty: no TLS
	Err error  // cause of the failure; after a refusal, the text of Reply
}

// Decided reports whether the outcome counts as an attempt: something but the relay decided about the recipient.
func (o Outcome) Decided() bool {
	return o.Err == nil || o.Fault != Relay && o.Fault != None && !o.Uncounted && !o.Rested
}

// FinalStatus returns the enhanced status code (RFC 3463) of a permanent failure that no reply explains; otherwise "".
func (o Outcome) FinalStatus() string {
	if !o.Permanent || o.Code != 0 {
		return ""
	}
	switch o.Op {
	case OpSize:
		return "5.3.4"
	case OpEightBit:
		return "5.6.3"
	case OpUTF8:
		return "5.6.7"
	case OpRcpt:
		return "5.1.3"
	case OpMail:
		return "5.1.7"
	}
	return "5.0.0"
}

// Text describes a failure at the step op with the cause err.
func Text(op Op, err error, uncertain bool) string {
	text := "no reason given"
	if err != nil {
		text = err.Error()
	}
	if op != "" {
		text = string(op) + ": " + text
	}
	if uncertain {
		text += " (uncertain: the relay may have accepted it)"
	}
	return text
}
