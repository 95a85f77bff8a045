package sevenbit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

const (
	maxLine     = 8 << 10 // octets per read; a longer boundary line is ordinary text
	maxHeader   = 1 << 20 // octets
	maxDepth    = 50
	maxEntities = 1 << 16
)

var crlf = []byte("\r\n")

type itemKind int

const (
	headerItem    itemKind = iota // a complete header, with the blank line if the entity has a body
	bodyItem                      // body of a leaf, or text around the parts of a multipart
	delimiterItem                 // a boundary line with the line end before
)

// An item is a piece of a message. All items in order are the message. The text is valid until the next item is read.
type item struct {
	kind itemKind
	text []byte
}

// A scanner cuts a message into items.
type scanner struct {
	r     *bufio.Reader
	open  []entity // entities of the last item, outermost first; after a boundary line, the multipart is the last
	count int      // number of entities so far

	inHeader bool
	ahead    []byte // a line read ahead
	inLine   bool   // the last read did not end a line
	held     bool   // a line end of a body is not in an item yet: a boundary line that follows includes the line end
	buf      []byte
}

func newScanner(r io.Reader) *scanner {
	return &scanner{r: bufio.NewReaderSize(r, maxLine), inHeader: true}
}

// next returns the next item, or io.EOF after the last.
func (s *scanner) next() (item, error) {
	if s.inHeader {
		return s.header()
	}
	line, whole, err := s.readLine()
	if err == io.EOF && s.held {
		s.held = false
		return item{bodyItem, crlf}, nil
	}
	if err != nil {
		return item{}, err
	}
	s.buf = s.buf[:0]
	if s.held {
		s.buf = append(s.buf, crlf...)
	}
	if i, last := s.delimits(line); whole && i >= 0 {
		s.open = s.open[:i+1]
		s.held, s.inHeader = false, !last
		if last {
			s.open[i].boundary = "" // from here on, the boundary is ordinary text
		}
		s.buf = append(s.buf, line...)
		return item{delimiterItem, s.buf}, nil
	}
	line, s.held = bytes.CutSuffix(line, crlf)
	s.buf = append(s.buf, line...)
	return item{bodyItem, s.buf}, nil
}

// header reads a header and opens the entity. A header ends with a blank line. If a boundary line or the end of the
// message comes first, the entity has no body.
func (s *scanner) header() (item, error) {
	s.buf = s.buf[:0]
	blank := false
	for !blank {
		line, whole, err := s.readLine()
		if err == io.EOF {
			break
		}
		if err != nil {
			return item{}, err
		}
		if i, _ := s.delimits(line); whole && i >= 0 {
			s.ahead = line
			break
		}
		if len(s.buf)+len(line) > maxHeader {
			return item{}, fmt.Errorf("%w: a header is longer than 1 MiB", ErrBroken)
		}
		s.buf = append(s.buf, line...)
		blank = whole && string(line) == "\r\n"
	}
	if s.count == maxEntities {
		return item{}, fmt.Errorf("%w: more than %d entities", ErrBroken, maxEntities)
	}
	var parent *entity
	if len(s.open) > 0 {
		parent = &s.open[len(s.open)-1]
	}
	e := newEntity(s.buf, parent)
	if len(s.open) == maxDepth {
		e.close()
	}
	e.number = s.count
	s.count++
	s.open = append(s.open, e)
	s.inHeader = blank && e.wraps
	return item{headerItem, s.buf}, nil
}

// delimits returns the index of the open entity with the boundary line, or -1, and whether the line is the last
// boundary line. An inner entity has priority. The boundary line of an outer entity ends the inner entities, too (RFC
// 2046, section 5.1.2).
func (s *scanner) delimits(line []byte) (i int, last bool) {
	rest, dashes := bytes.CutPrefix(line, []byte("--"))
	if !dashes {
		return -1, false
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		b := s.open[i].boundary
		if b == "" || len(rest) < len(b) || string(rest[:len(b)]) != b {
			continue
		}
		switch string(bytes.TrimRight(rest[len(b):], " \t\r\n")) {
		case "":
			return i, false
		case "--":
			return i, true
		}
	}
	return -1, false
}

// readLine returns the next line with its end, or a piece of a long line. A CRLF is never cut in two. The slice is
// valid until the next call.
func (s *scanner) readLine() (line []byte, whole bool, err error) {
	if s.ahead != nil {
		line, s.ahead = s.ahead, nil
		return line, true, nil
	}
	line, err = s.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		err = nil
		if n := len(line) - 1; line[n] == '\r' {
			line, err = line[:n], s.r.UnreadByte()
		}
	}
	if err == io.EOF && len(line) > 0 {
		err = nil // ReadSlice returns the error again
	}
	starts, ends := !s.inLine, bytes.HasSuffix(line, crlf)
	s.inLine = !ends
	return line, starts && ends, err
}
