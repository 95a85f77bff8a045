package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// copyBuffer is how much content is read at once.
const copyBuffer = 4 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// A sourceError says that the content could not be read, as opposed to sent.
type sourceError struct{ error }

// unreadable is the cause of a sourceError; nil for any other error.
func unreadable(err error) error {
	var source sourceError
	if errors.As(err, &source) {
		return source.error
	}
	return nil
}

// sendContent copies content to w with dots stuffed, and ends it. With size > 0 it has to be exactly that long: a file
// cut short while it is sent must not arrive as a whole message.
func sendContent(w io.Writer, content io.Reader, size int64) error {
	buf := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buf)
	s := stuffer{w: w}
	for total := int64(0); ; {
		n, err := content.Read(buf[:])
		total += int64(n)
		if size > 0 && (total > size || err == io.EOF && total < size) {
			return sourceError{fmt.Errorf("the content is not %d octets long", size)}
		}
		if err := s.write(buf[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return s.end()
		}
		if err != nil {
			return sourceError{fmt.Errorf("read the content: %w", err)}
		}
	}
}

// A stuffer doubles each dot that starts a line (RFC 5321, section 4.5.2), whichever way the content is cut. A line
// ends with CRLF and nothing else, so it relies on the content having no CR or LF alone.
type stuffer struct {
	w    io.Writer
	last place
}

// A place says what the last octet written was.
type place int

const (
	lineStart place = iota // nothing yet, or CRLF
	afterCR                // a CR
	inLine                 // anything else
)

var (
	crlf    = []byte("\r\n")
	crlfDot = []byte("\r\n.")
)

func (s *stuffer) write(p []byte) error {
	if s.last == afterCR && len(p) > 0 && p[0] == '\n' {
		if err := s.pass(p[:1]); err != nil {
			return err
		}
		s.last, p = lineStart, p[1:]
	}
	if len(p) == 0 {
		return nil
	}
	if s.last == lineStart && p[0] == '.' {
		if err := s.pass(p[:1]); err != nil {
			return err
		}
	}
	for {
		i := bytes.Index(p, crlfDot)
		if i < 0 {
			break
		}
		if err := s.pass(p[:i+3]); err != nil {
			return err
		}
		p = p[i+2:] // the dot once more
	}
	switch {
	case bytes.HasSuffix(p, crlf):
		s.last = lineStart
	case p[len(p)-1] == '\r':
		s.last = afterCR
	default:
		s.last = inLine
	}
	return s.pass(p)
}

// end writes the line that ends the content.
func (s *stuffer) end() error {
	switch s.last {
	case lineStart:
		return s.pass([]byte(".\r\n"))
	case afterCR:
		return s.pass([]byte("\n.\r\n"))
	}
	return s.pass([]byte("\r\n.\r\n"))
}

func (s *stuffer) pass(p []byte) error {
	_, err := s.w.Write(p)
	return err
}

// appendContent appends all of content, which has to be size octets long, to buf.
func appendContent(buf []byte, content io.Reader, size int64) ([]byte, error) {
	start := len(buf)
	buf = slices.Grow(buf, int(size)+1) // one more, to see the end, or that there is none
	for {
		n, err := content.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		got := int64(len(buf) - start)
		switch {
		case got > size || err == io.EOF && got < size:
			return buf, sourceError{fmt.Errorf("the content is not %d octets long", size)}
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, sourceError{fmt.Errorf("read the content: %w", err)}
		}
	}
}
