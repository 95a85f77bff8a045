package smtpclient

import (
	"errors"

	"github.com/unbit/spoolgore/internal/attempt"
)

// opQuit is the step of QUIT. No Error returned by the package has the step.
const opQuit attempt.Op = "quit"

// ErrAddress is the cause of an Error with OpMail or OpRcpt if the address was not sent, because the address would end
// the command or start another command. A retry is pointless.
var ErrAddress = errors.New("not an address that SMTP can carry")

// The causes of a failed set-up without a refusal of the relay.
var (
	ErrNoStartTLS = errors.New("the relay does not offer STARTTLS")
	ErrNoAuth     = errors.New("the relay does not offer AUTH")
	ErrNotPrivate = errors.New("will not send credentials over an unverified connection")
)

// Error is the reason for a failed set-up or a failed recipient. Either Reply or Err is set.
type Error struct {
	Op    attempt.Op
	Reply attempt.Reply // refusal of the relay (4yz, 5yz); zero: no reply, or an invalid reply
	Err   error         // cause without a reply: network, timeout, invalid reply, certificate, Content

	// Source is set if Content could not be read or had another length than announced. The fault is the message's, not
	// the relay's.
	Source bool

	// NotTried is set if the relay accepts no more recipients in the transaction, after at least one accepted recipient
	// (RFC 5321, section 4.5.3.1.10). Reply is the reply of the relay. The next transaction can offer the recipient at
	// once.
	NotTried bool

	// Again is set if the relay did not refuse the message, but the way the message was sent: an extension that is
	// offered and broken, or the number of recipients. Abilities has noted the fact, and the next connection sends the
	// message in another way. The relay has not accepted the message.
	Again bool

	// Ended is set if the relay refused MAIL because the connection has carried as many messages as the relay accepts
	// on one. The relay has not accepted the message, and another connection can send it at once.
	Ended bool

	LoggedIn   bool // credentials are configured
	Proven     bool // the relay had accepted a message on the connection
	NullSender bool // the reverse-path is empty
	NoQuotas   bool // Config.NoQuotas

	// Uncertain is set if the content was sent to the end and no valid reply came: the relay may have the message. Op
	// is the first step without a reply. If transactions share a flight, Op can be as early as OpMail.
	Uncertain bool
}

// Error returns the step and the cause, such as "rcpt: 550 5.1.1 no such user".
func (e *Error) Error() string {
	if e.Err != nil {
		return string(e.Op) + ": " + e.Err.Error()
	}
	return string(e.Op) + ": " + e.Reply.String()
}

// Unwrap returns the cause, or nil if the error has only a reply.
func (e *Error) Unwrap() error { return e.Err }

// Outcome classifies the error.
func (e *Error) Outcome() attempt.Outcome {
	o := attempt.Outcome{
		Op: e.Op, Code: e.Reply.Code, Enhanced: e.Reply.Enhanced, Reply: e.Reply.String(),
		Uncertain: e.Uncertain, Err: e.Err,
	}
	class := attempt.Failure{
		Op: e.Op, Reply: e.Reply, Unsendable: errors.Is(e.Err, ErrAddress),
		Unreadable: e.Source, NotTried: e.NotTried || e.Again || e.Ended, Uncertain: e.Uncertain,
		LoggedIn: e.LoggedIn, Proven: e.Proven, NullSender: e.NullSender, NoQuotas: e.NoQuotas,
	}.Classify()
	o.Fault, o.Permanent, o.Final, o.Cause = class.Fault, class.Permanent, class.Final, class.Cause
	o.Undecided, o.Throttled = class.Undecided, class.Throttled
	if o.Err == nil {
		o.Err = errors.New(e.Reply.String())
	}
	return o
}

// Result is the result of a transaction for one recipient.
type Result struct {
	Reply attempt.Reply // reply to the end of the content, if Err is nil
	Err   *Error        // nil: the relay accepted the message for the recipient
	TLS   string        // TLS version of the session, such as "TLS 1.3"; empty: no TLS
	DSN   bool          // the relay offers DSN (RFC 3461) and obeys Ret, EnvID, Notify and ORcpt
}

// Outcome classifies the result. The field Relay of the outcome is empty.
func (r *Result) Outcome() attempt.Outcome {
	o := attempt.Outcome{Code: r.Reply.Code, Enhanced: r.Reply.Enhanced, Reply: r.Reply.String()}
	if r.Err != nil {
		o = r.Err.Outcome()
	}
	o.TLS, o.DSN = r.TLS, r.DSN
	return o
}
