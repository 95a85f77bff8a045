package dialogue

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// longest is how long a command may be, in bytes; RFC 5321, section 4.5.3.1.4, and the extensions want less.
const longest = 8 << 10

var errTooLong = errors.New("line too long")

// lines reads what a client says. Lines end in CRLF or, as a person or a script writes them, in LF: the first one
// decides. For who writes CRLF nothing but a dot between two CRLF ends a message.
type lines struct {
	r    *bufio.Reader // of size longest
	seen bool          // a line
	bare bool          // it ended in LF
}

// command returns the next line without its end. One without an end is none.
func (l *lines) command() (string, error) {
	line, err := l.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		for err == bufio.ErrBufferFull {
			_, err = l.r.ReadSlice('\n')
		}
		if err == nil {
			err = errTooLong
		}
	}
	if err != nil {
		return "", err
	}
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !l.seen {
		l.seen, l.bare = true, !ok
	}
	return string(bytes.TrimSuffix(text, []byte("\n"))), nil
}

// message returns a reader of the message that begins here.
func (l *lines) message() *content { return &content{lines: l, start: true} }

// content is a message without the dots that were put in front of others. It ends with io.EOF behind the line that ends the
// message, and never before.
type content struct {
	*lines
	rest  []byte
	last  byte // that was taken
	start bool // a line begins
	err   error
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	for len(c.rest) == 0 && c.err == nil {
		c.fill()
	}
	if len(c.rest) == 0 {
		return 0, c.err
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// fill takes the next line, or a part of it.
func (c *content) fill() {
	line, err := c.r.ReadSlice('\n')
	switch {
	case err == io.EOF:
		c.err = ErrCutOff
		return
	case err != nil && err != bufio.ErrBufferFull:
		c.err = err
		return
	case c.start && (string(line) == ".\r\n" || c.bare && string(line) == ".\n"):
		c.err = io.EOF
		return
	}
	c.rest = line
	if c.start && line[0] == '.' {
		c.rest = line[1:]
	}
	before := c.last
	if len(line) > 1 {
		before = line[len(line)-2]
	}
	c.last = line[len(line)-1]
	c.start = c.last == '\n' && (c.bare || before == '\r')
}
