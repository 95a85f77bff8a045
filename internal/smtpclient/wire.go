package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	usualFlight = 8 << 10  // what a buffer for a flight starts with: a small message with its envelope
	maxFlight   = 64 << 10 // the most content that waits for one write, or may be left unanswered by sharing a flight
	pieceSize   = 32 << 10 // what is written at once of content that is larger, unless Config says otherwise
	quitLimit   = 10 * time.Second
	lastLimit   = time.Second // to read what a relay said before it stopped listening
)

// flights are shared by all sessions: one that waits for an answer, as most do most of the time, holds none.
var flights = sync.Pool{New: func() any {
	buf := make([]byte, 0, usualFlight)
	return &buf
}}

// A flight is what is sent with the next write.
type flight struct{ buf *[]byte }

// piece is how much of a large message is written at once.
func (c *Conn) piece() int {
	if c.cfg.Piece > 0 {
		return c.cfg.Piece
	}
	return pieceSize
}

// room returns the flight as a slice to append to; set puts it back.
func (f *flight) room() []byte {
	if f.buf == nil {
		f.buf = flights.Get().(*[]byte)
	}
	return *f.buf
}

func (f *flight) set(buf []byte) { *f.buf = buf }

func (f *flight) len() int {
	if f.buf == nil {
		return 0
	}
	return len(*f.buf)
}

func (f *flight) put(parts ...string) {
	buf := f.room()
	for _, part := range parts {
		buf = append(buf, part...)
	}
	f.set(buf)
}

// cut forgets what stands behind the first octets.
func (f *flight) cut(length int) {
	if length == 0 {
		f.release()
		return
	}
	f.set(f.room()[:length])
}

// release forgets the flight. A buffer that has grown out of all proportion is not kept.
func (f *flight) release() {
	if f.buf == nil {
		return
	}
	if cap(*f.buf) <= 2*maxFlight {
		*f.buf = (*f.buf)[:0]
		flights.Put(f.buf)
	}
	f.buf = nil
}

// watch closes the connection as soon as ctx ends, until done is called.
func (c *Conn) watch(ctx context.Context) (done func()) {
	c.ctx = ctx
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	return func() {
		if !stop() {
			c.abandon()
		}
		c.ctx = nil
	}
}

// abandon hangs up because nobody can say any more what the relay would make of the next line.
func (c *Conn) abandon() { _ = c.Close() }

// write sends the flight in one write, and returns how much of it has left.
func (c *Conn) write(op Op) (int, error) {
	if c.out.len() == 0 {
		return 0, nil
	}
	defer c.out.release()
	c.limit = c.limitFor(op)
	if err := c.nc.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.nc.Write(c.out.room())
}

// ask sends a command, given in parts, and returns the answer, if it is one of those wanted.
func (c *Conn) ask(op Op, want []int, command ...string) (Reply, *Error) {
	return c.askLines(op, want, nil, command...)
}

// askLines is ask, and hands each line of the answer to each.
func (c *Conn) askLines(op Op, want []int, each func(string), command ...string) (Reply, *Error) {
	if err := c.quiet(op); err != nil {
		return Reply{}, err
	}
	c.out.put(command...)
	c.out.put("\r\n")
	if _, err := c.write(op); err != nil {
		return Reply{}, c.unsent(op, err)
	}
	return c.expectLines(op, want, each)
}

// quiet makes sure that the relay has not said anything nobody asked for: from then on each answer would be taken for
// the one to the command after it. A 421 may come at any time (RFC 5321, section 3.8).
func (c *Conn) quiet(op Op) *Error {
	if c.r.buffered() == 0 {
		return nil
	}
	_, err := c.expect(op)
	if !c.broken {
		return c.unexpected(op, err.Reply)
	}
	return err
}

// unsent makes the error for a command that could not be sent, perhaps because the relay has said goodbye before.
func (c *Conn) unsent(op Op, err error) *Error {
	c.dying(err)
	reply, failed := c.expect(op, 2, 3, 4, 5)
	if failed == nil && reply.Code == 421 {
		c.abandon()
		return &Error{Op: op, Reply: reply}
	}
	return c.lost(op, err)
}

// dying notes that nothing more can be sent, and leaves a moment to read what the relay has said.
func (c *Conn) dying(err error) {
	c.failed = err
	_ = c.nc.SetReadDeadline(time.Now().Add(min(c.limit, lastLimit)))
}

// expect reads an answer. One that refuses (4yz, 5yz) is an error with that reply; one that makes no sense here, or none
// at all, is an error without a reply, and the session is over. Wanted are codes, or their first digits.
func (c *Conn) expect(op Op, want ...int) (Reply, *Error) {
	return c.expectLines(op, want, nil)
}

func (c *Conn) expectLines(op Op, want []int, each func(string)) (Reply, *Error) {
	var err error
	if c.failed == nil {
		c.limit = c.limitFor(op)
		err = c.nc.SetDeadline(time.Now().Add(c.limit)) // for the whole answer, however slowly it comes
	}
	var reply Reply
	if err == nil || c.r.buffered() > 0 { // a relay that has hung up may have said why
		reply, err = readReply(c.r, each)
	}
	if err != nil {
		return Reply{}, c.lost(op, err)
	}
	for _, code := range want {
		if reply.Code == code || reply.Code/100 == code {
			return reply, nil
		}
	}
	switch {
	case reply.Code == 421:
		c.abandon()
	case reply.Code < 400:
		return Reply{}, c.unexpected(op, reply)
	}
	return Reply{}, &Error{Op: op, Reply: reply}
}

func (c *Conn) unexpected(op Op, reply Reply) *Error {
	c.abandon()
	return &Error{Op: op, Err: fmt.Errorf("unexpected reply %q", reply.String())}
}

// lost makes the error for a connection that failed, and closes it. What failed first is the cause.
func (c *Conn) lost(op Op, err error) *Error {
	c.abandon()
	if c.failed != nil {
		err = c.failed
	}
	switch {
	case c.ctx != nil && c.ctx.Err() != nil:
		err = context.Cause(c.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("nothing within %v: %w", c.limit, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		err = fmt.Errorf("the relay hung up: %w", err)
	}
	return &Error{Op: op, Err: err}
}

// limitFor is the time for a step (RFC 5321, section 4.5.3.2).
func (c *Conn) limitFor(op Op) time.Duration {
	limit := 2 * time.Minute
	switch op {
	case OpGreeting, OpEHLO, OpMail, OpRcpt:
		limit = 5 * time.Minute
	case OpContent:
		limit = 3 * time.Minute
	case OpEnd:
		limit = 10 * time.Minute
	case opQuit:
		limit = quitLimit
	}
	if c.cfg.Timeout > 0 {
		limit = min(limit, c.cfg.Timeout)
	}
	return limit
}
