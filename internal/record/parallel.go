package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
)

// blockSize is the number of bytes of a status file that one goroutine decodes at a time.
const blockSize = 256 << 10

// errIrregular means that decodeParallel cannot read a status file: the file is damaged or has an unusual form.
var errIrregular = errors.New("irregular status file")

// A block is a part of a status file with whole entries. Its memory serves again for a later part.
type block struct {
	text    []byte
	entries []span
	results []decodedEntry
	decoded chan []decodedEntry // gets the entries before the first irregular one
}

// A span is the place of one entry in the text of a block.
type span struct{ key, keyEnd, value, valueEnd int }

type decodedEntry struct {
	key string
	m   Message
}

// decodeParallel reads a status file as decodeStatus does, but several goroutines decode. each is called in the order
// of the file, in the goroutine of the caller; the message is valid until each returns. decodeParallel returns the
// number of calls, and the error of each or errIrregular.
func decodeParallel(r io.Reader, limit int, each func(key string, m *Message) error) (n int, err error) {
	workers := max(1, min(runtime.GOMAXPROCS(0), 4))
	ordered, work := make(chan *block, 2*workers), make(chan *block, 2*workers)
	free := make(chan *block, 4*workers)
	quit := make(chan struct{})
	var running sync.WaitGroup
	var splitErr error
	running.Go(func() {
		defer close(ordered)
		defer close(work)
		splitErr = splitStatus(r, limit, free, func(b *block) bool {
			select {
			case ordered <- b:
			case <-quit:
				return false
			}
			work <- b
			return true
		})
	})
	for range workers {
		running.Go(func() {
			for b := range work {
				b.decoded <- b.decode()
			}
		})
	}
	defer running.Wait()
	defer close(quit)
	for b := range ordered {
		entries := <-b.decoded
		for i := range entries {
			n++
			if err := each(entries[i].key, &entries[i].m); err != nil {
				go drain(ordered)
				return n, err
			}
		}
		if len(entries) < len(b.entries) {
			go drain(ordered)
			return n, errIrregular
		}
		select {
		case free <- b:
		default:
		}
	}
	return n, splitErr
}

// drain lets the splitter end.
func drain(blocks <-chan *block) {
	for range blocks {
	}
}

// decode decodes the entries up to the first irregular one.
func (b *block) decode() []decodedEntry {
	var fast quick
	b.results = slices.Grow(b.results[:0], len(b.entries))[:len(b.entries)]
	clear(b.results)
	for i, s := range b.entries {
		e := &b.results[i]
		if !fast.key(b.text[s.key:s.keyEnd], &e.key) ||
			!fast.decode(b.text[s.value:s.valueEnd], &e.m) && decodeRecord(b.text[s.value:s.valueEnd], &e.m) != nil ||
			checkStates(&e.m) != nil {
			return b.results[:i]
		}
	}
	return b.results
}

// decodeRecord decodes a record of any form.
func decodeRecord(text []byte, m *Message) error {
	*m = Message{} // an earlier decoder may have begun
	return json.Unmarshal(text, m)
}

// newBlock returns a block that is free, or a new one.
func newBlock(free <-chan *block) *block {
	select {
	case b := <-free:
		b.text, b.entries = b.text[:0], b.entries[:0]
		return b
	default:
		return &block{decoded: make(chan []decodedEntry, 1)}
	}
}

// splitStatus calls emit for blocks of entries of a status file, until emit returns false. An entry of more than limit
// octets is irregular. The error is errIrregular.
func splitStatus(r io.Reader, limit int, free <-chan *block, emit func(*block) bool) error {
	b := newBlock(free) // with text that was not emitted
	first, ended := true, false
	for eof := false; !ended; {
		n, err := b.read(r)
		if err != nil {
			if err != io.EOF && err != io.ErrUnexpectedEOF {
				return errIrregular
			}
			eof = true
		}
		var rest int
		if rest, ended, err = b.split(first); err != nil || eof && !ended {
			return errIrregular
		}
		if len(b.entries) == 0 && n > limit {
			return errIrregular
		}
		if len(b.entries) > 0 {
			first = false
			next := newBlock(free)
			next.text = append(next.text, b.text[rest:]...)
			if !emit(b) {
				return nil
			}
			b, rest = next, 0
		}
		if ended && (!eof || len(bytes.TrimSpace(b.text[rest:])) > 0) {
			return errIrregular
		}
	}
	return nil
}

// read adds more text to b, and returns the size of the text.
func (b *block) read(r io.Reader) (size int, err error) {
	size = len(b.text)
	b.text = slices.Grow(b.text, max(blockSize, size))
	n, err := io.ReadFull(r, b.text[size:size+max(blockSize, size)])
	b.text = b.text[:size+n]
	return len(b.text), err
}

// split finds the entries in the text of b. rest is the position after the last whole entry, and ended means that the
// object ends there. first is set if the text begins with the brace of the object.
func (b *block) split(first bool) (rest int, ended bool, err error) {
	s := scanner{text: b.text}
	if first {
		if !s.skip('{') {
			return 0, false, s.fail()
		}
	}
	for {
		s.space()
		if first && len(b.entries) == 0 && s.skip('}') {
			return s.at, true, nil
		}
		if !first || len(b.entries) > 0 {
			if s.skip('}') {
				return s.at, true, nil
			}
			if !s.skip(',') {
				return rest, false, s.fail()
			}
		}
		e, ok := s.entry()
		if !ok {
			return rest, false, s.fail()
		}
		b.entries = append(b.entries, e)
		rest = s.at
	}
}

// A scanner finds the ends of JSON values, which may be invalid.
type scanner struct {
	text []byte
	at   int
}

// fail returns errIrregular unless the text just ends too early.
func (s *scanner) fail() error {
	if s.at < len(s.text) {
		return errIrregular
	}
	return nil
}

func (s *scanner) space() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\n' || s.text[s.at] == '\t' ||
		s.text[s.at] == '\r') {
		s.at++
	}
}

// skip skips spaces and then the byte c; false: another byte follows.
func (s *scanner) skip(c byte) bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// entry skips a key and an object.
func (s *scanner) entry() (e span, ok bool) {
	s.space()
	e.key = s.at
	if !s.quoted() {
		return e, false
	}
	e.keyEnd = s.at
	if !s.skip(':') {
		return e, false
	}
	s.space()
	e.value = s.at
	ok = s.object()
	e.valueEnd = s.at
	return e, ok
}

// quoted skips a string.
func (s *scanner) quoted() bool {
	if s.at >= len(s.text) || s.text[s.at] != '"' {
		return false
	}
	for i := s.at + 1; ; i++ {
		next := bytes.IndexByte(s.text[i:], '"')
		if next < 0 {
			s.at = len(s.text)
			return false
		}
		i += next
		escapes := 0
		for s.text[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			s.at = i + 1
			return true
		}
	}
}

// object skips an object.
func (s *scanner) object() bool {
	if s.at >= len(s.text) || s.text[s.at] != '{' {
		return false
	}
	for depth := 0; s.at < len(s.text); {
		switch s.text[s.at] {
		case '"':
			if !s.quoted() {
				return false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.at++
		if depth == 0 {
			return true
		}
	}
	return false
}
