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

	"github.com/unbit/spoolgore/internal/message"
)

// longest is the maximum length of a command in bytes. RFC 5321, section 4.5.3.1.4, and the extensions want less.
const longest = 8 << 10

// Errors that end a session. A session also ends at QUIT, at the end of the input between two messages, and on a read
// error.
var (
	ErrCutOff  = errors.New("it ended within a message, which was not accepted")
	ErrChunk   = errors.New("BDAT, which is not offered: what follows it cannot be told from commands")
	ErrGivenUp = errors.New("too many lines that are no commands")
)

// conn is the input and the output as a listener with one connection. Each Read returns at most one line, so that the
// server has read no more than it has parsed, and conn knows the purpose of each line.
//
// Lines end in CRLF, in LF (a person or a script), or in CR CR LF (a program that turns LF into CRLF twice). The first
// line decides: a dot ends a message only between two such line ends. Within a message conn passes on CRLF for CR CR
// LF, and a space for a CR outside of a line end, as the relay would. The server alone would overlook a dot behind CR
// CR LF, and lose a CR behind a dot.
type conn struct {
	in     *bufio.Reader
	out    io.Writer
	domain string // domain for addresses without a domain

	begun   bool // the introduction was sent
	mute    bool // the next reply is not for the client
	seen    bool // the first line was read
	ends    int  // CRs before the LF of the first line, at most 2
	content bool // the server reads a message; set by session
	name    bool // the last command had an address without a domain; complete added the domain
	quoted  bool // the last command had a quoted local part
	quit    bool // the last command was QUIT

	rest  []byte // unread part of the server's current line
	buf   []byte // buffer of rest
	start bool   // the next byte of a message begins a line, as the server sees it
	crs   int    // CRs of the input that are not in rest yet
	err   error  // error that ended the input

	taken bool // Accept has returned the connection
	close func()
	done  chan struct{} // after close
}

// introduction is the first command that the server requires. A client may begin with MAIL, as with sendmail: conn
// sends the introduction in its place.
const introduction = "HELO localhost\r\n"

// noCommand replaces a line that the server must not see. The server replies 501.
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
			c.start, c.crs = true, 0
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

// line returns the next line of a message, or a part of a long line.
func (c *conn) line() ([]byte, error) {
	raw, err := c.in.ReadSlice('\n')
	if err == io.EOF {
		return nil, ErrCutOff
	}
	if err != nil && err != bufio.ErrBufferFull {
		return nil, err
	}
	c.buf = c.buf[:0]
	for range c.crs {
		c.buf = append(c.buf, '\r')
	}
	c.buf = append(c.buf, raw...)
	text, ended := bytes.CutSuffix(c.buf, []byte("\n"))
	n := len(text)
	text = bytes.TrimRight(text, "\r")
	n -= len(text)
	c.crs = 0
	if !ended {
		c.crs = min(n, longest) // the next byte decides whether the CRs belong to a line end
		text = c.buf[:len(c.buf)-c.crs]
	}
	for i, b := range text {
		if b == '\r' {
			text[i] = ' '
		}
	}
	if c.start && string(text) == "." && !(ended && c.endsMessage(n)) { // not ended: thousands of CRs follow
		text = append(text, '.')
	}
	if ended && (n > 0 || c.ends == 0) {
		text = append(text, '\r')
	}
	if ended {
		text = append(text, '\n')
	}
	if len(text) == 0 {
		return c.line()
	}
	c.buf, c.start = text, bytes.HasSuffix(text, []byte("\r\n"))
	return text, nil
}

// endsMessage reports whether a dot on a line that has n CRs before its LF ends a message.
func (c *conn) endsMessage(n int) bool {
	switch n {
	case 0:
		return c.ends == 0
	case 1:
		return c.ends <= 1
	}
	return c.ends == 2
}

// command returns the next command with its line end. A line without an end is no command.
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
		n := len(line) - 1
		c.seen, c.ends = true, min(n-len(bytes.TrimRight(line[:n], "\r")), 2)
	}
	text := strings.TrimRight(string(line), "\r\n")
	if !utf8.ValidString(text) || strings.ContainsFunc(text, isControl) {
		text = noCommand // the server would repeat the text in its reply
	}
	verb := strings.ToUpper(text[:min(len(text), len("BDAT"))]) // the server checks no more than four letters
	if verb == "BDAT" {
		_, _ = io.WriteString(c.out, "502 5.5.1 BDAT is not offered\r\n")
		return nil, ErrChunk
	}
	c.quit = verb == "QUIT"
	return []byte(c.complete(text) + "\r\n"), nil
}

// complete adds the domain to an address without a domain in a MAIL or RCPT command, which the server would refuse, and
// makes the address canonical. It sets name and quoted for path. Any other line is returned unchanged.
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
	if c.quoted = strings.HasPrefix(path, `"`); c.quoted {
		return line
	}
	addr := path
	if end := strings.IndexAny(path, "> \t"); end >= 0 {
		addr = path[:end]
	}
	before, rest := line[:len(line)-len(path)], path[len(addr):]
	if name := strings.TrimSuffix(addr, "@"); name != "" && !strings.ContainsAny(name, `"@`) {
		c.name = true
		addr = name + "@" + c.domain
	}
	if canonical, err := message.Canonical(addr); err == nil {
		c.quoted = canonical[0] == '"'
		addr = canonical
	}
	return before + addr + rest
}

func isControl(r rune) bool { return unicode.IsControl(r) && r != '\t' }

// path returns the address that the client wrote, from addr, the address that the server parsed in the last command.
func (c *conn) path(addr string) string {
	if c.quoted {
		addr = message.Requote(addr) // the server removes quotes
	}
	if c.name {
		addr = strings.TrimSuffix(addr, "@"+c.domain)
	}
	return addr
}

// Write implements io.Writer. The server writes a reply line by line.
func (c *conn) Write(p []byte) (int, error) {
	switch {
	case string(p) == "250-CHUNKING\r\n":
		// At the end of the input the server would take a part of a chunk (RFC 3030) for the whole chunk.
		return len(p), nil
	case c.mute:
		c.mute = false
		return len(p), nil
	}
	return c.out.Write(p)
}

// failure returns the error that ended the session; nil after QUIT or after the end of the input between two messages.
func (c *conn) failure() error {
	switch {
	case c.err == nil && !c.quit:
		return ErrGivenUp
	case c.err == io.EOF:
		return nil
	}
	return c.err
}

// Printf keeps the first error that the server logs. Read errors are in c.err already; the others are panics.
func (c *conn) Printf(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// Println keeps an error as Printf does.
func (c *conn) Println(args ...any) { c.Printf("%s", fmt.Sprintln(args...)) }

// Accept returns the connection to the first caller. The next call waits until the connection is closed, and fails.
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

// The other methods of net.Conn and net.Listener. A read from a pipe has no deadline, and the server needs none.

func (c *conn) Addr() net.Addr                   { return c }
func (c *conn) LocalAddr() net.Addr              { return c }
func (c *conn) RemoteAddr() net.Addr             { return c }
func (c *conn) Network() string                  { return "stdio" }
func (c *conn) String() string                   { return "standard input" }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
