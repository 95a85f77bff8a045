package smtpclient

import (
	"bytes"
	"fmt"
	"io"

	"github.com/unbit/spoolgore/internal/attempt"
)

// chunkSize is the size of a chunk of a large message. The client sends a chunk while the relay replies to the chunk
// before, so a refusal stops the message early.
const chunkSize = 1 << 20

// inOneChunk sends a small message with one BDAT, in the current flight. If the content cannot be read, the message is
// removed from the flight.
func (s *serving) inOneChunk(x *transaction) {
	if !s.proveChunking(x) {
		return
	}
	start, steps, used := s.c.wire.out.len(), len(s.pipe.steps), s.c.used
	if !x.probed {
		s.envelope(x)
	}
	if s.c.wire.closed {
		return
	}
	if err := s.putLastChunk(x, x.Size); err != nil {
		s.c.wire.out.truncate(start)
		s.pipe.steps, s.c.used = s.pipe.steps[:steps], used
		x.fail(&Error{Op: attempt.OpContent, Err: err, Source: true})
		s.pipe.finish(x)
		return
	}
	s.pipe.sent(step{x: x, kind: endStep})
}

// inChunks sends a large message, or a message with many recipients. The first chunk shares the flight of the envelope.
// The last chunk is read completely before the chunk is sent, so a truncated message never ends.
func (s *serving) inChunks(x *transaction) {
	if !s.proveChunking(x) {
		return
	}
	if !x.probed {
		s.envelope(x)
	}
	last, ahead := min(x.Size, int64(s.c.cfg.piece())), 0
	for rest := x.Size - last; rest > 0; ahead = 1 {
		n := min(rest, chunkSize)
		rest -= n
		if x.undecided == 0 || s.c.wire.closed || !s.chunk(x, n) {
			return
		}
		s.pipe.drainTo(ahead)
	}
	if x.undecided == 0 || s.c.wire.closed {
		return
	}
	if err := s.putLastChunk(x, last); err != nil {
		s.sourceFailed(x, err)
		return
	}
	s.pipe.sent(step{x: x, kind: endStep})
}

// chunk sends a chunk other than the last, and reports success.
func (s *serving) chunk(x *transaction, size int64) bool {
	out, piece := &s.c.wire.out, s.c.cfg.piece()
	out.putBDAT(size, "\r\n")
	s.pipe.start(step{x: x, kind: chunkStep})
	for size > 0 {
		buf := out.grow(piece)
		n, err := x.Content.Read(buf[len(buf):min(cap(buf), len(buf)+int(size))])
		out.set(buf[:len(buf)+n])
		if size -= int64(n); err == io.EOF && size > 0 {
			err = fmt.Errorf("the content is not %d octets long", x.Size)
		}
		if err != nil && err != io.EOF {
			s.sourceFailed(x, fmt.Errorf("read the content: %w", err))
			return false
		}
		if out.len() < piece {
			continue
		}
		if s.pipe.flush(); s.c.wire.writeErr != nil {
			s.pipe.drain()
			return false
		}
	}
	s.pipe.complete()
	return true
}

// putLastChunk appends the last chunk to the flight, and completes the last line with CRLF.
func (s *serving) putLastChunk(x *transaction, size int64) error {
	out := &s.c.wire.out
	start := out.len()
	out.putBDAT(size, " LAST\r\n")
	body := out.len()
	buf, err := appendContent(out.bytes(), x.Content, size)
	out.set(buf)
	if err != nil {
		return unreadable(err)
	}
	if missing := missingEnd(buf[body:]); missing != "" {
		content := bytes.Clone(buf[body:])
		out.truncate(start)
		out.putBDAT(size+int64(len(missing)), " LAST\r\n")
		out.set(append(append(out.bytes(), content...), missing...))
	}
	return nil
}

// missingEnd returns the octets missing for a CRLF at the end of the content.
func missingEnd(content []byte) string {
	switch {
	case bytes.HasSuffix(content, crlf):
		return ""
	case bytes.HasSuffix(content, crlf[:1]):
		return "\n"
	}
	return "\r\n"
}
