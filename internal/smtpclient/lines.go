package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// lineRoom is what a session that waits for an answer holds: enough for the answers to a usual flight.
const lineRoom = 256

// A lineReader reads lines. Unlike a bufio.Reader it is small, and grows only while a line is long.
type lineReader struct {
	src        io.Reader
	limit      int    // for a line, in octets
	buf        []byte // what was read stands between start and end
	start, end int
}

func newLineReader(src io.Reader) *lineReader {
	return &lineReader{src: src, limit: maxLine, buf: make([]byte, lineRoom)}
}

// buffered is how much has been read that was not asked for yet.
func (l *lineReader) buffered() int { return l.end - l.start }

// next returns a line with its LF. It is good until the next call.
func (l *lineReader) next() ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(l.buf[l.start+seen:l.end], '\n'); i >= 0 {
			line := l.buf[l.start : l.start+seen+i+1]
			l.start += len(line)
			return line, nil
		}
		if seen = l.buffered(); seen >= l.limit {
			return nil, fmt.Errorf("a reply line is longer than %d octets", l.limit)
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads what there is, behind the beginning of a line that is already there.
func (l *lineReader) fill() error {
	if l.makeRoom(); l.end == len(l.buf) {
		return io.ErrShortBuffer // never: a full buffer has been made larger
	}
	for range 100 {
		n, err := l.src.Read(l.buf[l.end:])
		l.end += n
		if n > 0 {
			return nil // an error comes again
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

// makeRoom moves what there is to the front of the buffer, which has twice the size if that is not enough, and the usual
// size again if that is.
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
