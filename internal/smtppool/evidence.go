package smtppool

import (
	"errors"
	"os"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

// evidence holds the facts in the results of a transaction about the connection and the relay, not about the message.
type evidence struct {
	accepted   bool // the relay accepted the message for at least one recipient
	answered   bool // a reply other than 421
	closing    bool // 421, or another reply that ends the connection
	undecided  bool // refused with a reply about the amount of mail, or about policy
	throttled  bool // such a reply asks for less mail
	timeout    bool
	uncertain  bool // the relay may have the message
	hungUp     bool // the connection was closed without a reply
	source     bool // the content could not be read
	again      bool // the protocol failed, not the message: the next connection sends the message in another way
	noPTR      bool // the relay refuses the IPv6 address of this host
	unheard    bool // the relay did not receive the transaction: the connection ends, or was lost before any reply
	refused    bool // set by the session: the relay refused one connection too many
	overloaded bool // set by the session: the relay seems overloaded
	rested     bool // set by the session: uncertain, and the connection was most likely lost during the idle time
}

// observe returns the evidence in the results of a transaction.
func observe(results []smtpclient.Result) evidence {
	v := evidence{unheard: true}
	for i := range results {
		e := results[i].Err
		if e == nil {
			v.accepted, v.answered, v.unheard = true, true, false
			continue
		}
		code := e.Reply.Code
		v.answered = v.answered || code != 0 && code != 421 && !e.Ended
		v.closing = v.closing || code == 421 || e.Ended
		v.uncertain = v.uncertain || e.Uncertain
		v.hungUp = v.hungUp || !e.Source && smtpclient.IsHungUp(e.Err)
		v.source = v.source || e.Source
		v.again = v.again || e.Again
		v.noPTR = v.noPTR || attempt.NoPTR(e.Reply)
		v.timeout = v.timeout || errors.Is(e.Err, os.ErrDeadlineExceeded)
		v.unheard = v.unheard && isUnheard(e)
		if e.Reply.Undecided() && !e.NotTried && !e.Again && !e.Ended {
			v.undecided, v.throttled = true, v.throttled || e.Reply.Throttled()
		}
	}
	v.undecided = v.undecided && !v.accepted
	return v
}

// isUnheard reports whether the relay hung up without a reply to the transaction, or replied only 421. An error without
// a reply can have other causes than a lost connection.
func isUnheard(e *smtpclient.Error) bool {
	switch {
	case e.Source, e.NotTried, e.Again:
		return false
	case e.Ended:
		return true
	case e.Reply.Code == 421:
		return e.Op == attempt.OpMail || e.Op == attempt.OpRcpt || e.Op == attempt.OpData
	case e.Op == attempt.OpMail && e.Reply.Code == 0:
		return !errors.Is(e.Err, smtpclient.ErrAddress) && !errors.Is(e.Err, os.ErrDeadlineExceeded)
	}
	return false
}
