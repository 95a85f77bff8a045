package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// lineRoom is the usual size of the buffer of a lineReader: enough for the replies to a usual flight.
const lineRoom = 256

// A lineReader reads lines. The buffer is smaller than a bufio.Reader's, and grows only for a long line.
type lineReader struct {
	own        secrets  // of this session
	earlier    *secrets // of earlier sessions with the relay; nil: none
	src        io.Reader
	limit      int    // octets of a line that are kept
	buf        []byte // buf[start:end] was read and not yet returned
	start, end int
	cutOff     int // octets of long lines that were skipped
}

func newLineReader(src io.Reader) *lineReader {
	return &lineReader{src: src, limit: maxLine, buf: make([]byte, lineRoom)}
}

// buffered returns the number of octets read from the connection and not yet returned.
func (l *lineReader) buffered() int { return l.end - l.start }

// skipBlank skips line ends that were read and not yet returned.
func (l *lineReader) skipBlank() {
	for l.start < l.end && (l.buf[l.start] == '\r' || l.buf[l.start] == '\n') {
		l.start++
	}
}

// next returns a line with the LF. The line is valid until the next call. A line longer than the limit is cut.
func (l *lineReader) next() ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(l.buf[l.start+seen:l.end], '\n'); i >= 0 {
			line := l.buf[l.start : l.start+seen+i+1]
			l.start += len(line)
			return line, nil
		}
		if seen = l.buffered(); seen >= l.limit {
			return l.cut()
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// cut returns the first octets of a line that is longer than the limit, and skips the rest.
func (l *lineReader) cut() ([]byte, error) {
	line := append(bytes.Clone(l.buf[l.start:l.start+l.limit-1]), '\n')
	for skipped := 0; skipped < maxReply; {
		rest := l.buf[l.start:l.end]
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			l.start += i + 1
			l.cutOff += skipped + i + 1 - l.limit
			return line, nil
		}
		skipped += len(rest)
		l.start = l.end
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("a reply line is longer than %d octets", maxReply)
}

// fill reads from the connection, once, behind the octets in the buffer.
func (l *lineReader) fill() error {
	if l.makeRoom(); l.end == len(l.buf) {
		return io.ErrShortBuffer // cannot occur: makeRoom enlarges a full buffer
	}
	for range 100 {
		n, err := l.src.Read(l.buf[l.end:])
		l.end += n
		if n > 0 {
			return nil // the next read returns the error again
		}
		if errors.Is(err, io.EOF) && l.buffered() > 0 {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom moves the unread octets to the front of the buffer. A full buffer doubles, up to the limit; a buffer with
// few octets shrinks to lineRoom.
func (l *lineReader) makeRoom() {
	size := len(l.buf)
	switch rest := l.buffered(); {
	case rest == size:
		size = min(2*size, l.limit)
	case rest < lineRoom/2:
		size = lineRoom
	}
	into := l.buf
	if size != len(l.buf) {
		into = make([]byte, size)
	}
	l.start, l.end = 0, copy(into, l.buf[l.start:l.end])
	l.buf = into
}
