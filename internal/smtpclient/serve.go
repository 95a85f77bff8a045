package smtpclient

import (
	"context"
	"errors"
	"slices"

	"github.com/unbit/spoolgore/internal/attempt"
)

// maxGroup is the largest number of RCPT commands in a flight. With more, client and relay could both block on a write.
const maxGroup = 100

// Serve sends the transaction first, and then the transactions that more returns. Serve returns when more has returned
// nil (no transaction now) and all replies are read, or when the connection is not usable any more. done is called once
// for each transaction, as soon as the outcome is known, with a Result for each recipient in the order of To. The
// goroutine that called Serve calls more and done. When ctx ends, the connection is closed at once.
//
// Serve calls more when another transaction can start. more must not block. A large transaction may wait for the
// replies to the transactions before. If the relay offers PIPELINING (RFC 2920), the end of a transaction and the start
// of the next share a flight. With CHUNKING (RFC 3030), up to Config.Window complete transactions share a flight. A
// message then costs at most one round trip, and a lost connection leaves a complete flight without replies.
func (c *Conn) Serve(
	ctx context.Context, first *Transaction, more func() *Transaction, done func(*Transaction, []Result),
) {
	s := newServing(c, more, done)
	if c.wire.closed || ctx.Err() != nil {
		err := context.Cause(ctx)
		if err == nil {
			err = errors.New("the connection is closed")
		}
		x := c.newTransaction(first)
		x.fail(&Error{Op: attempt.OpMail, Err: err})
		s.pipe.finish(x)
		return
	}
	defer c.wire.watch(ctx)()
	for t := first; t != nil; t = s.next() {
		s.offer(c.newTransaction(t))
	}
}

// A serving is a call of Serve. A serving decides when a transaction starts, and sends the commands and the content;
// the pipeline reads the replies.
type serving struct {
	c      *Conn
	pipe   pipeline
	more   func() *Transaction
	window int          // largest number of transactions in a flight
	ahead  *Transaction // transaction that more has returned early; nil: none
}

func newServing(c *Conn, more func() *Transaction, done func(*Transaction, []Result)) *serving {
	return &serving{
		c: c, more: more, window: c.cfg.window(),
		pipe: pipeline{conn: c, wire: &c.wire, enabled: c.pipelining(), lmtp: c.cfg.LMTP, done: done},
	}
}

// next returns the next transaction, or nil. If the transaction can share the flight, next asks for a transaction at
// once; otherwise, and if there is no transaction yet, next asks after all replies are read.
func (s *serving) next() *Transaction {
	if t := s.ahead; t != nil {
		s.ahead = nil
		return t
	}
	if s.hasRoom() {
		if t := s.more(); t != nil || s.pipe.idle() {
			return t
		}
	}
	s.pipe.drain()
	if !s.c.Usable() {
		return nil
	}
	return s.more()
}

// hasRoom reports whether another transaction can share the flight.
func (s *serving) hasRoom() bool {
	switch {
	case !s.c.Usable():
		return false
	case s.pipe.idle():
		return true
	case s.c.chunking():
		return len(s.pipe.active) < s.window && len(s.pipe.steps) < maxGroup && s.c.wire.out.len() < maxFlight/2
	}
	return s.pipe.enabled
}

// offer starts a transaction.
func (s *serving) offer(x *transaction) {
	if x.undecided == 0 {
		s.pipe.finish(x)
		return
	}
	chunking := s.c.chunking() && x.Size > 0 // BDAT needs a size
	alone := chunking && (x.Size > maxFlight || len(x.To) > maxGroup)
	if alone || chunking && int64(s.c.wire.out.len())+x.Size > maxFlight {
		s.pipe.drain()
	}
	if s.c.wire.closed {
		fatal := s.pipe.fatal
		x.fail(&Error{Op: attempt.OpMail, Reply: fatal.Reply, Err: fatal.Err, Again: fatal.Again})
		s.pipe.finish(x)
		return
	}
	s.pipe.add(x)
	switch {
	case alone:
		s.inChunks(x)
	case chunking:
		s.inOneChunk(x)
	default:
		s.withData(x)
	}
}

// envelope sends RSET, MAIL and RCPT. Some relays require RSET even after a failed transaction, others only then; after
// RSET no relay mixes two transactions. The first transaction of a connection needs no RSET.
func (s *serving) envelope(x *transaction) {
	out := &s.c.wire.out
	if s.c.strayOctet && s.pipe.ready(attempt.OpMail) {
		s.c.strayOctet = false
		out.put("NOOP\r\n")
		s.pipe.sent(step{x: x, kind: noopStep})
	}
	if s.c.used && s.pipe.ready(attempt.OpMail) {
		out.put("RSET\r\n")
		s.pipe.sent(step{x: x, kind: resetStep})
	}
	s.c.used = true
	if x.undecided > 0 && s.pipe.ready(attempt.OpMail) {
		x.putMail(out, x.ext)
		s.pipe.sent(step{x: x, kind: mailStep})
	}
	group, limit := 0, s.maxRecipients()
	x.offered = 0
	for i := range x.To {
		if !x.isUndecided(i) {
			continue
		}
		if group == maxGroup {
			s.pipe.drain()
			group = 0
		}
		switch {
		case x.full.Code != 0:
			x.failOne(i, &Error{Op: attempt.OpRcpt, Reply: x.full, NotTried: true})
		case x.octetProbe && x.offered == 1:
			return
		case limit > 0 && x.offered >= limit:
			x.failOne(i, &Error{Op: attempt.OpRcpt, Err: errRecipientLimit, NotTried: true})
		case x.isUndecided(i) && s.pipe.ready(attempt.OpRcpt):
			x.putRcpt(out, x.ext, i)
			s.pipe.sent(step{x: x, kind: rcptStep, rcpt: int32(i)})
			group++
			x.offered++
		}
	}
	// All recipients up to the limit are refused, and x has no step left.
	if x.undecided == 0 && !slices.ContainsFunc(s.pipe.steps, func(st step) bool { return st.x == x }) {
		s.pipe.finish(x)
	}
}

// errRecipientLimit is the cause for a recipient that is left for the next transaction.
var errRecipientLimit = errors.New("the transaction has as many recipients as the relay accepts")

// maxRecipients returns the limit for the recipients of a transaction; zero: no limit.
func (s *serving) maxRecipients() int {
	limit, learnt := s.c.cfg.Recipients, s.c.cfg.Abilities.Recipients()
	if limit == 0 || learnt > 0 && learnt < limit {
		return learnt
	}
	return limit
}
