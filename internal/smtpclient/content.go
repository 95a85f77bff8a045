package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// copyBuffer is the size of a read of content, in octets.
const copyBuffer = 4 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// A sourceError is an error of a read of the content, not of a write to the relay.
type sourceError struct{ error }

// unreadable returns the cause of a sourceError, or nil for any other error.
func unreadable(err error) error {
	var source sourceError
	if errors.As(err, &source) {
		return source.error
	}
	return nil
}

// sendContent copies content to w, with stuffed dots and the lone dot at the end. If size > 0, the length of content
// must be size: a file truncated during the transfer must not arrive as a complete message.
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

// A stuffer doubles each dot at the start of a line (RFC 5321, section 4.5.2), for any division of the content into
// writes. Only CRLF ends a line, so the content must not have a CR or LF alone.
type stuffer struct {
	w    io.Writer
	last position
}

// A position in a line is the state after the last octet.
type position int

const (
	lineStart position = iota // no octet yet, or after CRLF
	afterCR                   // after CR
	inLine                    // after any other octet
)

var (
	crlf    = []byte("\r\n")
	crlfDot = []byte("\r\n.")
)

// write sends content with stuffed dots.
func (s *stuffer) write(p []byte) error {
	if s.last == afterCR && len(p) > 0 && p[0] == '\n' {
		if err := s.send(p[:1]); err != nil {
			return err
		}
		s.last, p = lineStart, p[1:]
	}
	if len(p) == 0 {
		return nil
	}
	if s.last == lineStart && p[0] == '.' {
		if err := s.send(p[:1]); err != nil {
			return err
		}
	}
	for {
		i := bytes.Index(p, crlfDot)
		if i < 0 {
			break
		}
		if err := s.send(p[:i+3]); err != nil {
			return err
		}
		p = p[i+2:] // sends the dot again
	}
	s.ended(p)
	return s.send(p)
}

// passes reports whether p has no dot to double, and if so takes p as sent.
func (s *stuffer) passes(p []byte) bool {
	switch {
	case len(p) == 0:
		return true
	case s.last == lineStart && p[0] == '.', s.last == afterCR && p[0] == '\n' && len(p) > 1 && p[1] == '.':
		return false
	case bytes.Contains(p, crlfDot):
		return false
	}
	s.ended(p)
	return true
}

// ended records that p, which is not empty, was sent.
func (s *stuffer) ended(p []byte) {
	switch {
	case bytes.HasSuffix(p, crlf), len(p) == 1 && p[0] == '\n' && s.last == afterCR:
		s.last = lineStart
	case p[len(p)-1] == '\r':
		s.last = afterCR
	default:
		s.last = inLine
	}
}

// end sends the lone dot, after a CRLF if missing.
func (s *stuffer) end() error {
	switch s.last {
	case lineStart:
		return s.send([]byte(".\r\n"))
	case afterCR:
		return s.send([]byte("\n.\r\n"))
	}
	return s.send([]byte("\r\n.\r\n"))
}

func (s *stuffer) send(p []byte) error {
	_, err := s.w.Write(p)
	return err
}

// appendContent appends content to buf. The length of content must be size.
func appendContent(buf []byte, content io.Reader, size int64) ([]byte, error) {
	start := len(buf)
	buf = slices.Grow(buf, int(size)+1) // one octet more, to detect the end or a longer content
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
