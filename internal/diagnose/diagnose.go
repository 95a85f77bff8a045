// Package diagnose explains a failed step of a delivery in plain words, with advice.
package diagnose

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

// A Failure is a step that failed.
type Failure struct {
	Op        string // the step, as in a spoolgore.DeliveryError; empty: not known
	Code      int    // reply code; zero: there was no reply
	Enhanced  string // enhanced status code of the reply (RFC 3463), as "5.1.1"; empty: none
	Permanent bool   // the message is given up for the recipient
	Relay     bool   // the relay cannot be used: no attempt is counted, and messages wait
	Uncertain bool   // the relay may have accepted the message
	Err       error  // cause without a reply; nil: only the text is known
}

// Advice is the meaning of a Failure and the action to take, each in one or two sentences.
type Advice struct{ Means, Do string }

// Of returns the Failure of a *spoolgore.DeliveryError or, for a probe, of a *smtpclient.Error.
func Of(err error) Failure {
	var d *spoolgore.DeliveryError
	if errors.As(err, &d) {
		f := Failure{
			Op: d.Op, Code: d.Code,
			Permanent: d.Permanent, Relay: d.Fault == spoolgore.FaultRelay, Uncertain: d.Uncertain,
		}
		if d.Code == 0 {
			f.Err = d.Err
		} else {
			_, f.Enhanced = codes(d.Err.Error())
		}
		return f
	}
	var e *smtpclient.Error
	if errors.As(err, &e) {
		return ofOutcome(e.Outcome())
	}
	return Failure{Err: err}
}

// ofOutcome returns the Failure of a classified error.
func ofOutcome(o attempt.Outcome) Failure {
	f := Failure{
		Op: string(o.Op), Code: o.Code, Enhanced: o.Enhanced,
		Permanent: o.Permanent, Relay: o.Fault == attempt.Relay, Uncertain: o.Uncertain,
	}
	if f.Code == 0 {
		f.Err = o.Err
	}
	return f
}

// Read parses the text of a delivery error from a status file. A relay's name or the result for the message may stand
// before the error. Read finds the step and the codes; for a failure without a reply the cause is not known.
func Read(text string) Failure {
	for rest, more := text, true; more; {
		var part string
		if part, rest, more = strings.Cut(rest, ": "); more && isOp(part) {
			o := attempt.Outcome{Op: attempt.Op(part)}
			o.Code, o.Enhanced = codes(rest)
			_, words, _ := strings.Cut(rest, " ")
			reply := attempt.Reply{Code: o.Code, Enhanced: o.Enhanced, Text: words}
			class := attempt.Failure{Op: o.Op, Reply: reply}.Classify()
			o.Fault, o.Permanent, o.Cause = class.Fault, class.Permanent, class.Cause
			return ofOutcome(o)
		}
	}
	return Failure{}
}

func isOp(s string) bool {
	ops := []string{
		"dial", "greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "content", "end", "size",
		"8bitmime", "smtputf8", "exec",
	}
	return slices.Contains(ops, s)
}

// codes reads the codes at the beginning of a reply.
func codes(reply string) (code int, enhanced string) {
	first, rest, _ := strings.Cut(reply, " ")
	code, err := strconv.Atoi(first)
	if err != nil || len(first) != 3 {
		return 0, ""
	}
	enhanced, _, _ = strings.Cut(rest, " ")
	if class, detail, ok := strings.Cut(enhanced, "."); !ok || class != first[:1] || !strings.Contains(detail, ".") {
		return code, ""
	}
	return code, enhanced
}

// Advice returns the advice for the failure.
func (f Failure) Advice() Advice {
	if f.Code == 421 {
		return Advice{"The relay ends connections now: it is busy, or has too many connections.",
			byItself + " If this happens often, lower -concurrency or set a -rate."}
	}
	switch f.Op {
	case "dial":
		return f.dial()
	case "greeting", "ehlo":
		return f.greeting()
	case "tls":
		return f.tls()
	case "auth":
		return f.auth()
	case "mail":
		return f.mail()
	case "rcpt":
		return f.rcpt()
	case "exec":
		return f.exec()
	case "size":
		return Advice{tooLarge, smaller}
	case "8bitmime":
		return Advice{"The message has 8-bit text and is signed, so that it may not be re-encoded, " +
			"and the relay does not take 8-bit text.",
			"Encode the text (quoted-printable, base64) before signing, or use a relay with 8BITMIME."}
	case "smtputf8":
		return Advice{"The address has letters that are not ASCII, and the relay does not take such addresses.",
			"Use another address, or a relay with SMTPUTF8."}
	case "data", "content", "end":
		return f.content()
	}
	return Advice{"The step failed, and no more is known.", "Look at the log."}
}
