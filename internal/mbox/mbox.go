// Package mbox reads files that hold several messages: mbox files, and those of Django's file-based backend.
//
// An mbox file has a line "From ann@example.org Mon Jan  1 10:00:00 2024" before each message. In the text of a message
// a '>' precedes every "From ". Django writes a line of 79 dashes after each message.
package mbox

import (
	"bufio"
	"bytes"
	"io"
	"regexp"
	"strings"

	"github.com/unbit/spoolgore/internal/message"
)

var (
	// separator is the line before every message of an mbox file except the first.
	separator = regexp.MustCompile(`^From .*\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b.* \d?\d:\d\d`)
	quoted    = regexp.MustCompile(`^>+From `)
	dashes    = strings.Repeat("-", 79)
)

// maxLine is the maximum length of a separator or a field.
const maxLine = 16 << 10

// A Kind is a way to write several messages into one file.
type Kind int

// The kinds.
const (
	Single Kind = iota // one message
	Mbox
	Django
)

// Detect returns the kind of the file r, which has size bytes. A file of fewer than two messages is Single.
func Detect(r io.ReaderAt, size int64) (Kind, error) {
	kind, err := candidate(r, size)
	if kind == Single || err != nil {
		return Single, err
	}
	s := NewSplitter(io.NewSectionReader(r, 0, size), kind)
	for range 2 {
		if _, err := s.Next(); err == io.EOF {
			return Single, nil
		} else if err != nil {
			return Single, err
		}
	}
	return kind, nil
}

// candidate returns the kind that the first and the last bytes of a file allow.
func candidate(r io.ReaderAt, size int64) (Kind, error) {
	const mboxStart, bom = "From ", "\uFEFF"
	head, err := readAt(r, 0, min(size, int64(len(bom)+len(mboxStart))))
	if err != nil {
		return Single, err
	}
	if bytes.HasPrefix(bytes.TrimPrefix(head, []byte(bom)), []byte(mboxStart)) {
		return Mbox, nil
	}
	n := min(size, int64(len(dashes)+8))
	tail, err := readAt(r, size-n, n)
	if err != nil {
		return Single, err
	}
	if bytes.HasSuffix(bytes.TrimRight(tail, "\r\n"), []byte(dashes)) {
		return Django, nil
	}
	return Single, nil
}

func readAt(r io.ReaderAt, off, n int64) ([]byte, error) {
	b := make([]byte, n)
	m, err := r.ReadAt(b, off)
	if m == len(b) {
		err = nil
	} else if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b[:m], err
}

// A Splitter reads the messages of a file in order.
type Splitter struct {
	in   *bufio.Reader
	kind Kind
	part *part
	err  error
}

// NewSplitter returns a Splitter for a file of the given kind. A file of kind Single has one message.
func NewSplitter(r io.Reader, kind Kind) *Splitter {
	return &Splitter{in: bufio.NewReaderSize(r, maxLine+4), kind: kind}
}

// Next returns the next message. The reader is valid until the next call. The error is io.EOF after the last message,
// or the error of the file.
func (s *Splitter) Next() (io.Reader, error) {
	if s.part != nil {
		if _, err := io.Copy(io.Discard, s.part); err != nil {
			return nil, err
		}
	} else if s.kind == Mbox {
		s.skipFirst()
	}
	for s.err == nil {
		var b []byte
		if b, s.err = s.in.Peek(1); s.kind != Django || len(b) == 0 || b[0] != '\n' && b[0] != '\r' {
			break
		}
		_, s.err = s.in.Discard(1)
	}
	if s.err != nil {
		return nil, s.err
	}
	s.part = &part{s: s, begin: true}
	return s.part, nil
}

// skipFirst skips the separator before the first message. A message without a separator loses no line.
func (s *Splitter) skipFirst() {
	const bom, start = "\uFEFF", "From "
	if b, _ := s.in.Peek(len(bom)); string(b) == bom {
		_, _ = s.in.Discard(len(bom))
	}
	b, _ := s.in.Peek(maxLine)
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if !bytes.HasPrefix(line, []byte(start)) || message.FieldName(line) != "" {
		return
	}
	line, err := s.in.ReadSlice('\n')
	for err == bufio.ErrBufferFull {
		_, err = s.in.ReadSlice('\n')
	}
	if err != nil && len(line) == 0 {
		s.err = err
	}
}

// part is one message of a file.
type part struct {
	s     *Splitter
	rest  []byte // bytes of the message that were read from the file
	blank []byte // an empty line: part of the message if another line of the message follows
	begin bool   // the next byte of the file begins a line
	done  bool
}

// Read implements io.Reader.
func (p *part) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.done {
			return 0, io.EOF
		}
		if err := p.line(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// line reads the next line, or a part of a long line, into rest.
func (p *part) line() error {
	if p.begin && p.ends() {
		p.done = true
		return nil
	}
	line, err := p.s.in.ReadSlice('\n')
	if err == io.EOF {
		p.s.err, p.done = io.EOF, true
	} else if err != nil && err != bufio.ErrBufferFull {
		return err
	}
	begin := p.begin
	p.begin = err == nil
	switch {
	case p.s.kind != Mbox || !begin:
	case p.done && len(line) == 0:
		return nil // the empty line at the end belongs to the mbox file
	case len(bytes.TrimRight(line, "\r\n")) == 0:
		p.rest, p.blank = p.blank, bytes.Clone(line)
		return nil
	case quoted.Match(line):
		line = line[1:]
	}
	p.rest, p.blank = append(p.blank, line...), nil
	return nil
}

// ends reports whether the next line is a separator, and skips it.
func (p *part) ends() bool {
	switch p.s.kind {
	case Mbox:
		if line, next := p.peek("From "); !separator.Match(line) || !isHeader(next) {
			return false
		}
	case Django:
		line, next := p.peek(dashes)
		if string(line) != dashes || len(bytes.TrimSpace(next)) > 0 && !isHeader(next, "From", "Date", "Message-ID") {
			return false
		}
	default:
		return false
	}
	_, _ = p.s.in.ReadSlice('\n')
	return true
}

// peek returns the next line, without its end, if the line begins with prefix. next is the buffered text after the
// line.
func (p *part) peek(prefix string) (line, next []byte) {
	if b, _ := p.s.in.Peek(len(prefix)); string(b) != prefix {
		return nil, nil
	}
	b, _ := p.s.in.Peek(maxLine)
	line, next, _ = bytes.Cut(b, []byte("\n"))
	return bytes.TrimRight(line, "\r"), next
}

// isHeader reports whether text begins with a header that has the named fields. An mbox separator of an earlier host
// may stand before the header.
func isHeader(text []byte, names ...string) bool {
	fields := map[string]bool{}
	for line := range bytes.Lines(text) {
		name := strings.ToLower(message.FieldName(line))
		if name == "" && !message.IsContinuation(line) && !bytes.HasPrefix(line, []byte(">From ")) {
			break
		}
		fields[name] = true
	}
	delete(fields, "")
	for _, name := range names {
		if !fields[strings.ToLower(name)] {
			return false
		}
	}
	return len(fields) > 0
}
