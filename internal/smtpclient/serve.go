package smtpclient

import (
	"context"
	"errors"
	"slices"
)

const (
	maxGroup      = 100 // RCPT commands in a flight, so that nobody has to read while writing
	defaultWindow = 4   // transactions that share a flight
)

// Serve offers first, and then whatever more returns, until more returns nil (there is nothing more now) and all is
// answered, or the connection cannot be used any more. done is called once for each transaction taken, as soon as its
// outcome is known, with a Result for each recipient in the order of its To. Both are called by the goroutine that
// called Serve. When ctx ends, the connection is closed at once.
//
// more is called when another transaction can be started, and must not block. A large one can have to wait until what
// was sent before is answered. Where the relay offers PIPELINING (RFC 2920), the end of one transaction and the start of
// the next go in one flight; with CHUNKING (RFC 3030) too, whole transactions do, at most Config.Window. So a message
// costs at most one round trip, and a lost connection leaves all of its flight without an answer.
func (c *Conn) Serve(ctx context.Context, first *Transaction, more func() *Transaction, done func(*Transaction, []Result)) {
	s := &serving{c: c, more: more, done: done}
	if c.broken || ctx.Err() != nil {
		err := context.Cause(ctx)
		if err == nil {
			err = errors.New("the connection is closed")
		}
		x := c.newTransaction(first)
		x.fail(&Error{Op: OpMail, Err: err})
		s.tell(x)
		return
	}
	defer c.watch(ctx)()
	_, s.pipelined = c.Extension("PIPELINING")
	s.pipelined = s.pipelined && !c.cfg.NoPipelining
	_, s.chunked = c.Extension("CHUNKING")
	s.chunked = s.chunked && s.pipelined && !c.cfg.NoChunking
	if s.window = c.cfg.Window; s.window <= 0 {
		s.window = defaultWindow
	}
	for t := first; t != nil; t = s.next() {
		s.offer(c.newTransaction(t))
	}
}

// A serving is a call of Serve.
type serving struct {
	c                  *Conn
	more               func() *Transaction
	done               func(*Transaction, []Result)
	pipelined, chunked bool
	window             int
	flying             []*transaction // whose outcome is not known, in order
	steps              []step         // whose answers are still to come, in order
	end                *Error         // what has ended the session; nil: it goes on
}

// next asks for another transaction: at once, if it can share a flight with those on their way, else when all is
// answered; and then in any case, as much time has passed.
func (s *serving) next() *Transaction {
	if s.hasRoom() {
		if t := s.more(); t != nil || len(s.steps) == 0 {
			return t
		}
	}
	s.settle()
	if s.c.broken {
		return nil
	}
	return s.more()
}

// hasRoom tells whether another transaction can join the flight.
func (s *serving) hasRoom() bool {
	switch {
	case s.c.broken:
		return false
	case len(s.steps) == 0:
		return true
	case s.chunked:
		return len(s.flying) < s.window && len(s.steps) < maxGroup && s.c.out.len() < maxFlight/2
	}
	return s.pipelined
}

// offer starts a transaction.
func (s *serving) offer(x *transaction) {
	if x.open == 0 {
		s.tell(x)
		return
	}
	chunked := s.chunked && x.Size > 0 // BDAT has to say a size
	alone := chunked && (x.Size > maxFlight || len(x.To) > maxGroup)
	if alone || chunked && int64(s.c.out.len())+x.Size > maxFlight {
		s.settle()
	}
	if s.c.broken {
		x.fail(&Error{Op: OpMail, Reply: s.end.Reply, Err: s.end.Err})
		s.tell(x)
		return
	}
	s.flying = append(s.flying, x)
	switch {
	case alone:
		s.inChunks(x)
	case chunked:
		s.inOneChunk(x)
	default:
		s.withData(x)
	}
}

// envelope sends MAIL and RCPT, and forgets the transaction before: some relays want that even after one that came to
// nothing, others only then, and none takes this one for a part of the other.
func (s *serving) envelope(x *transaction) {
	if s.c.used && s.begin(OpMail) {
		s.c.out.put("RSET\r\n")
		s.await(step{x: x, kind: resetStep})
	}
	s.c.used = true
	if x.open > 0 && s.begin(OpMail) {
		s.c.putMail(x)
		s.await(step{x: x, kind: mailStep})
	}
	group := 0
	for i := range x.To {
		if !x.waits(i) {
			continue
		}
		if group == maxGroup {
			s.settle()
			group = 0
		}
		switch {
		case x.full.Code != 0:
			x.failOne(i, &Error{Op: OpRcpt, Reply: x.full, NotTried: true})
		case x.waits(i) && s.begin(OpRcpt):
			s.c.putRcpt(x, i)
			s.await(step{x: x, kind: rcptStep, rcpt: int32(i)})
			group++
		}
	}
}

// withData offers x with DATA. What was sent before is answered then, and the end of x is still to be sent.
func (s *serving) withData(x *transaction) {
	s.envelope(x)
	if x.open > 0 && s.begin(OpData) {
		s.c.out.put("DATA\r\n")
		s.await(step{x: x, kind: dataStep})
	}
	s.settle()
	switch {
	case x.dot && s.begin(OpContent):
		s.c.out.put(".\r\n")
		s.await(step{x: x, kind: endStep})
	case x.ready && s.begin(OpContent):
		s.content(x)
	}
}

// content sends the content after DATA. After an error the connection is closed, so that the relay cannot take what it
// has got for a message.
func (s *serving) content(x *transaction) {
	s.steps = append(s.steps, step{x: x, kind: endStep, end: notYet})
	w := &pieces{s: s, limit: s.c.piece()}
	if 0 < x.Size && x.Size <= maxFlight {
		w.limit = 2 * maxFlight // in one write, however many dots there are
	}
	if err := sendContent(w, x.Content, x.Size); err == nil {
		s.await(s.pop())
	} else if unread := unreadable(err); unread != nil {
		s.sourceFailed(x, unread)
	} else {
		s.settle()
	}
}

// pieces are what content is written to: it leaves when there is enough of it.
type pieces struct {
	s     *serving
	limit int
}

func (p *pieces) Write(b []byte) (int, error) {
	out := &p.s.c.out
	buf := out.room()
	if missing := min(p.limit, pieceSize) - cap(buf); missing > 0 {
		buf = slices.Grow(buf, min(p.limit, pieceSize)-len(buf)) // at once, not bit by bit
	}
	out.set(append(buf, b...))
	if out.len() < p.limit {
		return len(b), nil
	}
	if p.s.flush(); p.s.c.failed != nil {
		return 0, p.s.c.failed
	}
	return len(b), nil
}

// sourceFailed gives up a message that cannot be read, of which something may have been sent.
func (s *serving) sourceFailed(x *transaction, err error) {
	x.fail(&Error{Op: OpContent, Err: err, Source: true})
	s.over(s.c.lost(OpContent, errors.New("the connection is closed, as a message could not be read to its end")))
}
