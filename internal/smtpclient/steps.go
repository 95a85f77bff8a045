package smtpclient

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// A step is a command, or the content after it, whose answer is still to come.
type step struct {
	x    *transaction
	end  int32 // where it ends in the flight
	rcpt int32 // which recipient it is about
	kind stepKind
	sent bool // it has been sent to its end
}

// notYet is the end of a step of which more is to come.
const notYet = math.MaxInt32

type stepKind uint8

const (
	resetStep stepKind = iota // RSET
	mailStep                  // MAIL
	rcptStep                  // RCPT
	dataStep                  // DATA
	chunkStep                 // BDAT with content
	endStep                   // the end of the content: BDAT LAST, or the lone dot
)

// op is the step's name in an Error.
func (st step) op() Op {
	switch st.kind {
	case resetStep, mailStep:
		return OpMail
	case rcptStep:
		return OpRcpt
	case dataStep:
		return OpData
	}
	if st.sent {
		return OpEnd
	}
	return OpContent
}

// wants is the code, or its first digit, that says yes to MAIL, DATA or a chunk.
func (k stepKind) wants() int {
	switch k {
	case mailStep:
		return 250
	case dataStep:
		return 354
	}
	return 2
}

// begin tells whether a command can be sent. The first one of a flight finds out what the relay has said unasked.
func (s *serving) begin(op Op) bool {
	if !s.c.broken && len(s.steps) == 0 {
		if err := s.c.quiet(op); err != nil {
			s.over(err)
		}
	}
	return !s.c.broken
}

// await notes that the flight now ends with the end of a step. Without PIPELINING it is sent and answered at once.
func (s *serving) await(st step) {
	st.end = int32(s.c.out.len())
	s.steps = append(s.steps, st)
	if st.end == 0 { // its last piece has left before
		s.markSent(0)
	}
	if !s.pipelined {
		s.settle()
	}
}

// pop takes back the last step.
func (s *serving) pop() step {
	last := len(s.steps) - 1
	st := s.steps[last]
	s.steps = s.steps[:last]
	return st
}

// flush sends the flight, and notes how far each step has come.
func (s *serving) flush() {
	if s.c.broken || s.c.failed != nil || s.c.out.len() == 0 {
		return
	}
	op := OpContent
	if last := s.steps[len(s.steps)-1]; last.kind < chunkStep {
		op = last.op()
	}
	n, err := s.c.write(op)
	s.markSent(n)
	if err != nil {
		s.c.dying(err)
	}
}

// markSent notes what stands in the first octets of the flight as sent.
func (s *serving) markSent(n int) {
	for i := range s.steps {
		st := &s.steps[i]
		if st.end <= int32(n) {
			st.sent = true
			st.x.sent = st.x.sent || st.kind == endStep
		}
	}
}

// settle sends the flight and reads all answers.
func (s *serving) settle() { s.settleTo(0) }

// settleTo sends the flight and reads answers until only some are still to come.
func (s *serving) settleTo(left int) {
	s.flush()
	for len(s.steps) > left && !s.c.broken {
		if st := s.steps[0]; s.c.failed != nil && !st.sent {
			s.lastWords(st)
			return
		}
		if err := s.answer(s.steps[0]); s.c.broken {
			s.over(err)
			return
		}
	}
}

// answer reads the answer to the first step. An error is about the session only if that is over now.
func (s *serving) answer(st step) *Error {
	var err *Error
	x := st.x
	switch {
	case x.open == 0:
		err = s.answerInVain(st)
	case st.kind == resetStep:
		err = s.c.resetAnswered()
	case st.kind == rcptStep:
		if _, err = s.c.expect(OpRcpt, 250, 251, 252); err == nil {
			x.taken++
		} else if !s.c.broken {
			x.turnedDown(int(st.rcpt), err)
		}
	case st.kind == endStep:
		err = s.ended(x)
	default:
		_, err = s.c.expect(st.op(), st.kind.wants())
		x.ready = err == nil && st.kind == dataStep
		if err != nil && !s.c.broken {
			x.refused = st.kind == mailStep
			x.fail(err)
		}
	}
	if !s.c.broken {
		s.steps = slices.Delete(s.steps, 0, 1)
		s.tellIfKnown(x)
	}
	return err
}

// resetAnswered reads the answer to RSET. A relay that refuses even that is of no use, but the message is not to blame:
// so the error has no reply, unless that is the 421 it may give at any time.
func (c *Conn) resetAnswered() *Error {
	_, err := c.expect(OpMail, 250)
	if err != nil && !c.broken {
		c.abandon()
		return &Error{Op: OpMail, Err: fmt.Errorf("RSET refused: %s", err.Reply)}
	}
	return err
}

// answerInVain reads the answer to a step of a transaction that has come to nothing before. The relay is expected to
// refuse it too. Where it waits for content, a lone dot tells it that there is none: but only if it knows the sender,
// else that dot might end another message.
func (s *serving) answerInVain(st step) *Error {
	reply, err := s.c.expect(st.op(), 2, 3, 4, 5)
	switch {
	case err != nil:
		return err
	case reply.Code == 421:
		s.c.abandon()
		return &Error{Op: st.op(), Reply: reply}
	case reply.Code >= 400 || st.kind < dataStep:
		return nil
	case reply.Code == 354 && st.kind == dataStep && !st.x.refused && !s.c.cfg.LMTP:
		st.x.dot = true
		return nil
	case st.kind == endStep && st.x.dot:
		return nil
	}
	return s.c.unexpected(st.op(), reply)
}

// ended reads the answer to the end of the content; with LMTP one for each recipient (RFC 2033, section 4.2).
func (s *serving) ended(x *transaction) *Error {
	for i := range x.results {
		if !x.waits(i) {
			continue
		}
		reply, err := s.c.expect(OpEnd, 2)
		switch {
		case err == nil:
		case s.c.broken && s.c.cfg.LMTP && err.Reply.Code != 0: // it may have the message for those that follow
			x.failOne(i, err)
			x.fail(&Error{Op: OpEnd, Err: errors.New("the relay hung up"), Uncertain: true})
			return err
		case s.c.broken:
			return err
		case s.c.cfg.LMTP:
			x.failOne(i, err)
			continue
		default:
			x.fail(err)
			return nil
		}
		x.accept(i, reply)
		for j := i + 1; j < len(x.results) && !s.c.cfg.LMTP; j++ {
			x.accept(j, reply)
		}
	}
	return nil
}

// lastWords reads what a relay that takes nothing more has said before: a 421, or that it has seen enough of the content.
func (s *serving) lastWords(st step) {
	if s.c.ctx.Err() == nil {
		reply, err := s.c.expect(st.op(), 2, 3, 4, 5)
		switch {
		case err != nil:
		case reply.Code == 421:
			s.c.abandon()
			s.over(&Error{Op: st.op(), Reply: reply})
			return
		case reply.Code >= 400 && st.kind >= chunkStep:
			st.x.fail(&Error{Op: OpEnd, Reply: reply})
		}
	}
	s.over(s.c.lost(st.op(), s.c.failed))
}

// over settles everything that is not, because of an error that has ended the session. Each transaction has the first of
// its steps that has no answer to blame, or the one err names. After a 421 the relay does nothing more; else what was
// sent to its end may have arrived.
func (s *serving) over(err *Error) {
	s.end = err
	for _, x := range slices.Clone(s.flying) {
		e := &Error{Op: err.Op, Reply: err.Reply, Err: err.Err, Uncertain: x.sent && err.Reply.Code == 0}
		if i := slices.IndexFunc(s.steps, func(st step) bool { return st.x == x }); i >= 0 {
			e.Op = s.steps[i].op()
		}
		x.fail(e)
		s.tell(x)
	}
	s.steps, s.flying = nil, nil
}

// tellIfKnown hands over the results of a transaction as soon as they are complete.
func (s *serving) tellIfKnown(x *transaction) {
	if x.open == 0 {
		s.tell(x)
	}
}

// tell hands over the results of a transaction, once.
func (s *serving) tell(x *transaction) {
	s.flying = slices.DeleteFunc(s.flying, func(y *transaction) bool { return x == y })
	if !x.told {
		x.told = true
		s.done(x.asked, x.results)
	}
}
