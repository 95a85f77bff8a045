package smarthost

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// Blame says whose fault it is that a transaction did not serve a recipient.
type Blame int

// Whom to blame.
const (
	Nobody    Blame = iota // not offered in this transaction, which took others or was withdrawn
	TheRelay               // it cannot be used
	Message                // it was not taken
	Recipient              // it was not taken
)

// Judge says whose fault e is, and whether another try is pointless.
//
// A connection that is lost before MAIL was answered is the relay's trouble. Lost later, or when the content had been
// sent, it counts against the message: else one message that makes a relay hang up would keep the relay at rest, and hold
// up all the others.
func Judge(e *smtpclient.Error) (whom Blame, permanent bool) {
	code := e.Reply.Code
	switch e.Op {
	case OpDial, smtpclient.OpGreeting, smtpclient.OpEHLO, smtpclient.OpTLS, smtpclient.OpAuth:
		return TheRelay, false
	case smtpclient.OpSize, smtpclient.OpUTF8, smtpclient.OpEightBit:
		if e.Source {
			return Message, false
		}
		return Message, true
	}
	answered, unsendable := code != 0, errors.Is(e.Err, smtpclient.ErrAddress)
	switch {
	case e.NotTried:
		return Nobody, false
	case code == 421, loginWanted(code):
		return TheRelay, false
	case e.Op == smtpclient.OpMail && !answered && !unsendable && !e.Uncertain && !e.Source:
		return TheRelay, false
	case e.Op == smtpclient.OpRcpt && (answered || unsendable):
		return Recipient, code/100 == 5 || unsendable
	}
	return Message, code/100 == 5 || unsendable
}

// loginWanted reports whether the code asks for another login or for TLS (RFC 4954, section 6; RFC 3207, section 4). That
// is about the settings, whatever command it answers, and no reason to give up mail.
func loginWanted(code int) bool {
	return code == 530 || code == 534 || code == 535 || code == 538
}

// TooFast reports whether e is a reply with which relays slow down those who send too fast: 421, 450, 451 or 452 with
// 4.7.x (refused by policy) or 4.3.2 (the system takes no mail now; RFC 3463). Its text does not matter.
func TooFast(e *smtpclient.Error) bool {
	switch e.Reply.Code {
	case 421, 450, 451, 452:
		return e.Reply.Enhanced == "4.3.2" || strings.HasPrefix(e.Reply.Enhanced, "4.7.")
	}
	return false
}

// A verdict is what the results of a transaction say about the connection and the relay, rather than about the message.
type verdict struct {
	accepted  bool // for one recipient at least
	answered  bool // the relay has said something else than 421
	closing   bool // 421
	tooFast   bool
	recipient bool // tooFast was the answer to RCPT
	timeout   bool
	uncertain bool
	hungUp    bool // the relay, or what is between us, and without a word
	source    bool // the message could not be read
	unheard   bool // the relay has taken no notice of it: nothing but 421, or a lost connection before any answer
	refused   bool // set by the session: a new connection was one too many
	strained  bool // set by the session: a sign of trouble
}

func weigh(results []smtpclient.Result) verdict {
	v := verdict{unheard: true}
	for i := range results {
		e := results[i].Err
		if e == nil {
			v.accepted, v.answered, v.unheard = true, true, false
			continue
		}
		code := e.Reply.Code
		v.answered = v.answered || code != 0 && code != 421
		v.closing = v.closing || code == 421
		v.uncertain = v.uncertain || e.Uncertain
		v.hungUp = v.hungUp || isHungUp(e.Err)
		v.source = v.source || e.Source
		v.timeout = v.timeout || errors.Is(e.Err, os.ErrDeadlineExceeded)
		v.unheard = v.unheard && isUnheard(e)
		if TooFast(e) {
			v.tooFast = true
			v.recipient = e.Op == smtpclient.OpRcpt && code != 421
		}
	}
	return v
}

// isUnheard reports whether the relay hung up without an answer to the transaction, or said 421 and nothing else. The
// connection has to be known to be lost: an error without a reply can have other reasons too.
func isUnheard(e *smtpclient.Error) bool {
	switch {
	case e.Source, e.NotTried:
		return false
	case e.Reply.Code == 421:
		return e.Op == smtpclient.OpMail || e.Op == smtpclient.OpRcpt || e.Op == smtpclient.OpData
	case e.Op == smtpclient.OpMail && e.Reply.Code == 0:
		return !errors.Is(e.Err, smtpclient.ErrAddress) && !errors.Is(e.Err, os.ErrDeadlineExceeded)
	}
	return false
}

// isHungUp reports whether err is what a connection gives that the other end has closed or does not know any more.
func isHungUp(err error) bool {
	for _, cause := range []error{io.EOF, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}
