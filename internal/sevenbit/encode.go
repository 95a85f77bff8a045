package sevenbit

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
)

// lineLength is the length of encoded lines, in octets without CRLF (RFC 2045, sections 6.7 and 6.8).
const lineLength = 76

// A converter reads a message and encodes the marked parts.
type converter struct {
	s     *scanner
	found []marks
	out   bytes.Buffer
	enc   io.WriteCloser // encodes the current body; nil: the body is not encoded
	err   error
}

func newConverter(r io.Reader, found []marks) *converter {
	return &converter{s: newScanner(r), found: found}
}

// Read reads the next octets. Read returns io.EOF only after the complete message. An error of the source is returned
// again by each further call.
func (c *converter) Read(p []byte) (int, error) {
	for c.out.Len() == 0 && c.err == nil {
		c.err = c.step()
	}
	if c.out.Len() == 0 {
		return 0, c.err
	}
	return c.out.Read(p)
}

// step converts one item.
func (c *converter) step() error {
	it, err := c.s.next()
	if err == io.EOF {
		if closeErr := c.endBody(true); closeErr != nil {
			return closeErr
		}
		return io.EOF
	}
	if err != nil {
		return err
	}
	switch {
	case it.kind == headerItem:
		c.header(it.text)
	case it.kind == bodyItem && c.enc != nil:
		_, err = c.enc.Write(it.text)
	case it.kind == delimiterItem:
		err = c.endBody(false)
		c.out.Write(it.text)
	default:
		c.out.Write(it.text)
	}
	return err
}

func (c *converter) header(text []byte) {
	e := &c.s.open[len(c.s.open)-1]
	var m marks
	if e.number < len(c.found) { // otherwise the source has changed, and its size shows the change
		m = c.found[e.number]
	}
	if !e.changes(m) {
		c.out.Write(text)
		return
	}
	e.newHeader(&c.out, text, m)
	switch {
	case m&encode == 0:
	case e.text:
		c.enc = quotedprintable.NewWriter(dashGuard{&c.out})
	default:
		c.enc = base64.NewEncoder(base64.StdEncoding, &folder{out: &c.out})
	}
}

// endBody ends the encoded text of a body, if the body is encoded. last is set at the end of the message: no boundary
// line follows with a line end of its own, and base64 has no line end.
func (c *converter) endBody(last bool) error {
	if c.enc == nil {
		return nil
	}
	err := c.enc.Close()
	c.enc = nil
	if last && !c.s.open[len(c.s.open)-1].text {
		c.out.Write(crlf)
	}
	return err
}

// A dashGuard writes the lines of a quoted-printable text, one per Write as quotedprintable.Writer does. No written
// line begins with two dashes: a long line cut in two could otherwise make a boundary line.
type dashGuard struct{ out *bytes.Buffer }

func (g dashGuard) Write(line []byte) (int, error) {
	n := len(line)
	for bytes.HasPrefix(line, []byte("--")) {
		g.out.WriteString("=2D")
		line = line[1:]
		if len(bytes.TrimSuffix(line, crlf))+len("=2D") <= lineLength {
			break
		}
		g.out.WriteString("=\r\n") // too long for the current line
	}
	g.out.Write(line)
	return n, nil
}

// A folder writes a line end after every 76 octets of base64, except after the last line.
type folder struct {
	out *bytes.Buffer
	col int
}

func (f *folder) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if f.col == lineLength {
			f.out.Write(crlf)
			f.col = 0
		}
		n := min(lineLength-f.col, len(rest))
		f.out.Write(rest[:n])
		f.col += n
		rest = rest[n:]
	}
	return len(p), nil
}
