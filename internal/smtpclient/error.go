package smtpclient

import "errors"

// Op is a step of a session.
type Op string

// The steps an Error can name.
const (
	OpGreeting Op = "greeting" // the first words of the relay
	OpEHLO     Op = "ehlo"     // EHLO or HELO
	OpTLS      Op = "tls"      // STARTTLS, the handshake, the certificate
	OpAuth     Op = "auth"     // AUTH
	OpMail     Op = "mail"     // MAIL, with the RSET before it
	OpRcpt     Op = "rcpt"     // RCPT
	OpData     Op = "data"     // DATA
	OpContent  Op = "content"  // sending the content
	OpEnd      Op = "end"      // the relay's answer to the content, which may come before its end
	OpSize     Op = "size"     // the message is larger than the relay takes (RFC 1870); nothing was sent
	OpEightBit Op = "8bitmime" // the message has 8-bit text, 8BITMIME (RFC 6152) is not offered, and it cannot be converted; nothing was sent
	OpUTF8     Op = "smtputf8" // an address needs SMTPUTF8 (RFC 6531), which is not offered; it was not sent

	opQuit Op = "quit" // never seen outside
)

// ErrAddress is the cause of an Error with OpMail or OpRcpt when the address was not sent, because it would break out
// of its command. Another try is pointless.
var ErrAddress = errors.New("not an address that SMTP can carry")

// Why a session is not set up, where it was not the relay that refused anything.
var (
	ErrNoStartTLS = errors.New("the relay does not offer STARTTLS")
	ErrNoAuth     = errors.New("the relay does not offer AUTH")
	ErrNotPrivate = errors.New("will not send credentials over an unverified connection")
)

// Error says why a session could not be set up or a recipient was not served. Either Reply or Err is set.
type Error struct {
	Op    Op
	Reply Reply // the relay's refusal (4yz, 5yz); zero when it gave no answer, or one that makes no sense
	Err   error // the cause where there is no reply: network, time, a reply that makes no sense, certificate, Content

	// Source says that Content could not be read or is not as long as announced: the fault is the message's, not the
	// relay's.
	Source bool

	// NotTried says that the relay takes no more recipients in this transaction (Reply says so, RFC 5321, section
	// 4.5.3.1.10) after it took at least one: this one can go in the next transaction at once.
	NotTried bool

	// Uncertain says that the content was sent to its end and no answer was seen, or none that makes sense: the relay
	// may have the message or not. In a flight, Op is the first step without an answer, which can be as early as OpMail.
	Uncertain bool
}

// Error returns the step and the cause, such as "rcpt: 550 5.1.1 no such user".
func (e *Error) Error() string {
	if e.Err != nil {
		return string(e.Op) + ": " + e.Err.Error()
	}
	return string(e.Op) + ": " + e.Reply.String()
}

// Unwrap returns the cause; nil where there is only a reply.
func (e *Error) Unwrap() error { return e.Err }
