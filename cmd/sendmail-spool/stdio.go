//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/sendmail"
)

// stdio is standard input and output as a listener with one connection, which is how a server wants them. Lines may end
// in CRLF, or, as a person or a script writes them, in LF: the first one decides, and for the latter all are completed.
type stdio struct {
	in     *bufio.Reader
	out    io.Writer
	last   byte // that was read
	lines  bool // there has been one
	bare   bool // it ended in LF
	taken  bool // the connection, by Accept
	closed func()
	done   chan struct{} // after closed

	mu  sync.Mutex
	err error // what reading has ended with
	cut bool  // within a message
}

func newStdio(in io.Reader, out io.Writer) *stdio {
	c := &stdio{in: bufio.NewReader(in), out: out, done: make(chan struct{})}
	c.closed = sync.OnceFunc(func() { close(c.done) })
	return c
}

// Accept gives the connection to the first caller. The next one waits until it is closed.
func (c *stdio) Accept() (net.Conn, error) {
	if !c.taken {
		c.taken = true
		return c, nil
	}
	<-c.done
	return nil, net.ErrClosed
}

// Read implements io.Reader.
func (c *stdio) Read(p []byte) (n int, err error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	for n < len(p) && (n == 0 || c.in.Buffered() > 0) {
		b, err := c.in.ReadByte()
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.err = err
			return n, err
		}
		if b == '\n' && !c.lines {
			c.lines, c.bare = true, c.last != '\r'
		}
		if b == '\n' && c.bare && c.last != '\r' {
			_ = c.in.UnreadByte() // it comes next
			b = '\r'
		}
		p[n], c.last = b, b
		n++
	}
	return n, nil
}

// message returns a reader of a message that r reads from the connection. It fails where the input ends first: the
// server takes what there is of a chunk (RFC 3030) for all of it.
func (c *stdio) message(r io.Reader) io.Reader { return &wholeReader{c, r} }

type wholeReader struct {
	conn *stdio
	r    io.Reader
}

// Read implements io.Reader.
func (w *wholeReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err == nil {
		return n, nil
	}
	c := w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return n, err
	}
	c.cut = true
	return 0, c.cause()
}

// failure says why the session did not end as it should.
func (c *stdio) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.cause(); err != nil {
		return fmt.Errorf("%w: %w", sendmail.ErrInput, err)
	}
	return nil
}

var errCutOff = errors.New("it ended within a message, which was not accepted")

// cause is called with mu held.
func (c *stdio) cause() error {
	switch {
	case c.err != io.EOF:
		return c.err
	case c.cut:
		return errCutOff
	}
	return nil
}

// Write implements io.Writer.
func (c *stdio) Write(p []byte) (int, error) { return c.out.Write(p) }

// Close ends the connection; standard input and output stay open.
func (c *stdio) Close() error {
	c.closed()
	return nil
}

// The rest of net.Conn and net.Listener.

func (c *stdio) Addr() net.Addr                   { return c }
func (c *stdio) LocalAddr() net.Addr              { return c }
func (c *stdio) RemoteAddr() net.Addr             { return c }
func (c *stdio) Network() string                  { return "stdio" }
func (c *stdio) String() string                   { return "standard input" }
func (c *stdio) SetDeadline(time.Time) error      { return nil }
func (c *stdio) SetReadDeadline(time.Time) error  { return nil }
func (c *stdio) SetWriteDeadline(time.Time) error { return nil }
