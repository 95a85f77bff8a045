package stdiosmtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// longest is how long a command may be, in bytes; RFC 5321, section 4.5.3.1.4, and the extensions want less.
const longest = 8 << 10

// What ends a session, other than QUIT, the end of the input between two messages, and an error of the input.
var (
	ErrCutOff  = errors.New("it ended within a message, which was not accepted")
	ErrChunk   = errors.New("BDAT, which is not offered: what follows it cannot be told from commands")
	ErrGivenUp = errors.New("too many lines that are no commands")
)

// conn is the input and the output as a server wants them: a listener with one connection. It gives the server one line
// at a time, so that the server has never read more than it has looked at, and conn knows what each line is for.
//
// Lines end in CRLF or, as a person or a script writes them, in LF: the first one decides. For who writes CRLF nothing
// but a dot between two CRLF ends a message. Within a message the server gets a space for a CR that ends no line, as the
// relay would: it takes CR CR LF for no end of a line, would overlook a dot behind that, and loses a CR behind a dot.
type conn struct {
	in     *bufio.Reader
	out    io.Writer
	domain string // of names without one

	begun   bool // the introduction was given
	mute    bool // the next answer is not for the client
	seen    bool // a line
	lf      bool // it ended in LF
	content bool // the server reads a message; set by session
	name    bool // the last command had a name without a domain, which has got one
	quoted  bool // the last command had a quoted local part
	quit    bool // the last command was QUIT

	rest []byte // of the line that the server is reading
	buf  []byte // for rest
	err  error  // what reading has ended with

	taken bool // the connection, by Accept
	close func()
	done  chan struct{} // after close
}

// introduction is what a client has to say first, by the server's rules. Who begins with MAIL is let in, as by sendmail.
const introduction = "HELO localhost\r\n"

// noCommand is what the server gets in place of a line that it must not see. It answers 501.
const noCommand = "no command"

func newConn(in io.Reader, out io.Writer, domain string) *conn {
	c := &conn{in: bufio.NewReaderSize(in, longest), out: out, domain: domain, done: make(chan struct{})}
	c.close = sync.OnceFunc(func() { close(c.done) })
	return c
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	if len(c.rest) == 0 && c.err == nil {
		if c.content {
			c.rest, c.err = c.line()
		} else {
			c.rest, c.err = c.command()
		}
	}
	if len(c.rest) == 0 {
		return 0, c.err
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// line returns the next line of a message, or a part of it.
func (c *conn) line() ([]byte, error) {
	raw, err := c.in.ReadSlice('\n')
	switch {
	case err == io.EOF:
		return nil, ErrCutOff
	case err == bufio.ErrBufferFull && raw[len(raw)-1] == '\r':
		_ = c.in.UnreadByte() // what it is depends on the next one
		raw = raw[:len(raw)-1]
	case err != nil && err != bufio.ErrBufferFull:
		return nil, err
	}
	text, ended := bytes.CutSuffix(raw, []byte("\n"))
	crlf := false
	if ended {
		text, crlf = bytes.CutSuffix(text, []byte("\r"))
	}
	c.buf = append(c.buf[:0], text...)
	for i, b := range c.buf {
		if b == '\r' {
			c.buf[i] = ' '
		}
	}
	if crlf || ended && c.lf {
		c.buf = append(c.buf, '\r')
	}
	if ended {
		c.buf = append(c.buf, '\n')
	}
	return c.buf, nil
}

// command returns the next command with its line end. A line without an end is none.
func (c *conn) command() ([]byte, error) {
	if !c.begun {
		c.begun, c.mute = true, true
		return []byte(introduction), nil
	}
	line, err := c.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		for err == bufio.ErrBufferFull {
			_, err = c.in.ReadSlice('\n')
		}
		line = []byte(noCommand + "\r\n")
	}
	if err != nil {
		return nil, err
	}
	if !c.seen {
		c.seen, c.lf = true, !bytes.HasSuffix(line, []byte("\r\n"))
	}
	text := strings.TrimRight(string(line), "\r\n")
	if !utf8.ValidString(text) || strings.ContainsFunc(text, isControl) {
		text = noCommand // the server would say it again in its answer
	}
	verb := strings.ToUpper(text[:min(len(text), len("BDAT"))]) // the server looks at no more
	if verb == "BDAT" {
		_, _ = io.WriteString(c.out, "502 5.5.1 BDAT is not offered\r\n")
		return nil, ErrChunk
	}
	c.quit = verb == "QUIT"
	return []byte(c.complete(text) + "\r\n"), nil
}

// complete gives the domain to a name without one in a MAIL or RCPT command, which the server would refuse, and notes what
// path needs to know of the command. All else stays as it is, for the server to judge.
func (c *conn) complete(line string) string {
	c.name, c.quoted = false, false
	head, path, _ := strings.Cut(line, ":")
	if head = strings.ToUpper(strings.Join(strings.Fields(head), " ")); head != "MAIL FROM" && head != "RCPT TO" {
		return line
	}
	path = strings.TrimPrefix(strings.TrimLeft(path, " \t"), "<")
	if strings.HasPrefix(path, "@") { // a source route (RFC 5321, appendix C)
		_, path, _ = strings.Cut(path, ":")
	}
	c.quoted = strings.HasPrefix(path, `"`)
	name := path
	if end := strings.IndexAny(path, "> \t"); end >= 0 {
		name = path[:end]
	}
	if name == "" || strings.ContainsAny(name, `"@`) {
		return line
	}
	c.name = true
	rest := path[len(name):]
	return line[:len(line)-len(rest)] + "@" + c.domain + rest
}

func isControl(r rune) bool { return unicode.IsControl(r) && r != '\t' }

// path is what the client wrote for addr, which is what the server has read in the last command.
func (c *conn) path(addr string) string {
	switch {
	case c.name:
		return strings.TrimSuffix(addr, "@"+c.domain)
	case c.quoted:
		return requote(addr)
	}
	return addr
}

// Write implements io.Writer. The server writes an answer line by line.
func (c *conn) Write(p []byte) (int, error) {
	switch {
	case string(p) == "250-CHUNKING\r\n":
		// The server takes what there is of a chunk (RFC 3030) for all of it where the input ends.
		return len(p), nil
	case c.mute:
		c.mute = false
		return len(p), nil
	}
	return c.out.Write(p)
}

// failure says why the session did not end as it should; nil: it did.
func (c *conn) failure() error {
	switch {
	case c.err == nil && !c.quit:
		return ErrGivenUp
	case c.err == io.EOF:
		return nil
	}
	return c.err
}

// Printf takes what the server says of its own errors: those of reading are known, and what is left are panics.
func (c *conn) Printf(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// Println is Printf for whatever the server says in that way.
func (c *conn) Println(args ...any) { c.Printf("%s", fmt.Sprintln(args...)) }

// Accept gives the connection to the first caller. The next one waits until it is closed.
func (c *conn) Accept() (net.Conn, error) {
	if !c.taken {
		c.taken = true
		return c, nil
	}
	<-c.done
	return nil, net.ErrClosed
}

// Close ends the connection; input and output stay open.
func (c *conn) Close() error {
	c.close()
	return nil
}

// The rest of net.Conn and net.Listener. A read from a pipe has no deadline, and no server that takes one is asked for it.

func (c *conn) Addr() net.Addr                   { return c }
func (c *conn) LocalAddr() net.Addr              { return c }
func (c *conn) RemoteAddr() net.Addr             { return c }
func (c *conn) Network() string                  { return "stdio" }
func (c *conn) String() string                   { return "standard input" }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
