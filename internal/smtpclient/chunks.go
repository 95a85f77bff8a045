package smtpclient

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// chunkSize is how much of a large message is sent before the relay has to agree to more. While a chunk waits for its
// answer the next one is on its way, so a refusal stops the rest.
const chunkSize = 1 << 20

// inOneChunk offers a small message with BDAT, as a part of the flight. If it cannot be read, the flight goes without.
func (s *serving) inOneChunk(x *transaction) {
	start, steps, used := s.c.out.len(), len(s.steps), s.c.used
	s.envelope(x)
	if s.c.broken {
		return
	}
	if err := s.putLast(x, x.Size); err != nil {
		s.c.out.cut(start)
		s.steps, s.c.used = s.steps[:steps], used
		x.fail(&Error{Op: OpContent, Err: err, Source: true})
		s.tell(x)
		return
	}
	s.await(step{x: x, kind: endStep})
}

// inChunks offers a large message, or one for many. The first chunk goes with the envelope, and is answered before the
// next; the last one is read before it is sent, so that a message cut short never ends.
func (s *serving) inChunks(x *transaction) {
	s.envelope(x)
	last, ahead := min(x.Size, int64(s.c.piece())), 0
	for rest := x.Size - last; rest > 0; ahead = 1 {
		n := min(rest, chunkSize)
		rest -= n
		if x.open == 0 || s.c.broken || !s.chunk(x, n) {
			return
		}
		s.settleTo(ahead)
	}
	if x.open == 0 || s.c.broken {
		return
	}
	if err := s.putLast(x, last); err != nil {
		s.sourceFailed(x, err)
		return
	}
	s.await(step{x: x, kind: endStep})
}

// chunk sends a chunk that is not the last one; false: it could not.
func (s *serving) chunk(x *transaction, size int64) bool {
	s.c.out.putBDAT(size, "\r\n")
	s.steps = append(s.steps, step{x: x, kind: chunkStep, end: notYet})
	piece := s.c.piece()
	for size > 0 {
		buf := slices.Grow(s.c.out.room(), piece)
		n, err := x.Content.Read(buf[len(buf):min(cap(buf), len(buf)+int(size))])
		s.c.out.set(buf[:len(buf)+n])
		if size -= int64(n); err == io.EOF && size > 0 {
			err = fmt.Errorf("the content is not %d octets long", x.Size)
		}
		if err != nil && err != io.EOF {
			s.sourceFailed(x, fmt.Errorf("read the content: %w", err))
			return false
		}
		if s.c.out.len() < piece {
			continue
		}
		if s.flush(); s.c.failed != nil {
			s.settle()
			return false
		}
	}
	s.await(s.pop())
	return true
}

// putLast adds the last chunk to the flight, with a CRLF at the end if the content has none.
func (s *serving) putLast(x *transaction, size int64) error {
	out := &s.c.out
	start := out.len()
	out.putBDAT(size, " LAST\r\n")
	body := out.len()
	buf, err := appendContent(out.room(), x.Content, size)
	out.set(buf)
	if err != nil {
		return unreadable(err)
	}
	if missing := missingEnd(buf[body:]); missing != "" {
		content := bytes.Clone(buf[body:])
		out.cut(start)
		out.putBDAT(size+int64(len(missing)), " LAST\r\n")
		out.set(append(append(out.room(), content...), missing...))
	}
	return nil
}

// missingEnd is what the last line lacks of its CRLF.
func missingEnd(content []byte) string {
	switch {
	case bytes.HasSuffix(content, crlf):
		return ""
	case bytes.HasSuffix(content, crlf[:1]):
		return "\n"
	}
	return "\r\n"
}

func (f *flight) putBDAT(size int64, end string) {
	f.put("BDAT ")
	f.set(append(strconv.AppendInt(f.room(), size, 10), end...))
}
