package smtpclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	writeBuffer = 8 << 10 // one flight of commands, or a small message, in one write
	quitLimit   = 10 * time.Second
	lastLimit   = time.Second // to read what a relay said before it stopped listening
)

// writers are shared by all sessions: one that waits for an answer, as most do most of the time, holds none.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }}

// A step is the writer below the buffer: each write has the time of the step in progress.
type step struct{ c *Conn }

func (s step) Write(p []byte) (int, error) {
	if err := s.c.nc.SetDeadline(time.Now().Add(s.c.limit)); err != nil {
		return 0, err
	}
	return s.c.nc.Write(p)
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

// put adds to what the next flush sends. Errors show there.
func (c *Conn) put(parts ...string) {
	w := c.writer()
	for _, part := range parts {
		_, _ = w.WriteString(part)
	}
}

func (c *Conn) writer() *bufio.Writer {
	if c.w == nil {
		c.w = writers.Get().(*bufio.Writer)
		c.w.Reset(step{c})
	}
	return c.w
}

func (c *Conn) releaseWriter() {
	if c.w != nil {
		c.w.Reset(nil)
		writers.Put(c.w)
		c.w = nil
	}
}

// flush sends what was put.
func (c *Conn) flush() error {
	if c.w == nil {
		return nil
	}
	err := c.w.Flush()
	c.releaseWriter()
	return err
}

// ask sends a command, given in parts, and returns the answer, if it is one of those wanted.
func (c *Conn) ask(op Op, want []int, command ...string) (Reply, *Error) {
	return c.askLines(op, want, nil, command...)
}

// askLines is ask, and hands each line of the answer to each.
func (c *Conn) askLines(op Op, want []int, each func(string), command ...string) (Reply, *Error) {
	c.limit = c.limitFor(op)
	if err := c.quiet(op); err != nil {
		return Reply{}, err
	}
	c.put(command...)
	c.put("\r\n")
	if err := c.flush(); err != nil {
		return Reply{}, c.unsent(op, err)
	}
	return c.expectLines(op, want, each)
}

// quiet makes sure that the relay has not said anything nobody asked for: from then on each answer would be taken for
// the one to the command after it. A 421 may come at any time (RFC 5321, section 3.8).
func (c *Conn) quiet(op Op) *Error {
	if c.r.Buffered() == 0 {
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
	if reply := c.lastWords(); reply.Code == 421 {
		return &Error{Op: op, Reply: reply}
	}
	return c.lost(op, err)
}

// lastWords reads what a relay that takes nothing more has said; zero: nothing. The connection is closed then.
func (c *Conn) lastWords() Reply {
	defer c.abandon()
	if c.ctx != nil && c.ctx.Err() != nil {
		return Reply{}
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(min(c.limit, lastLimit)))
	reply, _ := readReply(c.r, nil)
	return reply
}

// expect reads an answer. One that refuses (4yz, 5yz) is an error with that reply; one that makes no sense here, or none
// at all, is an error without a reply, and the session is over. Wanted are codes, or their first digits.
func (c *Conn) expect(op Op, want ...int) (Reply, *Error) {
	return c.expectLines(op, want, nil)
}

func (c *Conn) expectLines(op Op, want []int, each func(string)) (Reply, *Error) {
	c.limit = c.limitFor(op)
	err := c.nc.SetDeadline(time.Now().Add(c.limit)) // for the whole answer, however slowly it comes
	var reply Reply
	if err == nil || c.r.Buffered() > 0 { // a relay that has hung up may have said why
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

// lost makes the error for a connection that failed, and closes it.
func (c *Conn) lost(op Op, err error) *Error {
	c.abandon()
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
