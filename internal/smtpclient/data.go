package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/unbit/spoolgore/internal/attempt"
)

// withData sends x with DATA. withData reads all replies up to the reply to DATA; the end of x can share a flight with
// the next transaction.
func (s *serving) withData(x *transaction) {
	s.envelope(x)
	if x.undecided > 0 && s.pipe.ready(attempt.OpData) {
		s.c.wire.out.put("DATA\r\n")
		s.pipe.sent(step{x: x, kind: dataStep})
	}
	s.pipe.drain()
	switch {
	case x.emptyContent && s.pipe.ready(attempt.OpContent):
		s.c.wire.out.put(".\r\n")
		s.pipe.sent(step{x: x, kind: endStep})
	case x.contentWanted && s.pipe.ready(attempt.OpContent):
		s.content(x)
	}
}

// content sends the content after DATA. After an error the connection is closed: the relay must not accept a part of
// the content as a message.
func (s *serving) content(x *transaction) {
	s.pipe.start(step{x: x, kind: endStep})
	w := &pieceWriter{pipe: &s.pipe, limit: s.c.cfg.piece()}
	if x.Size > maxFlight {
		w.direct = &w.pipe.wire.out
	}
	if 0 < x.Size && x.Size <= maxFlight {
		w.limit = 2 * maxFlight // one write, for any number of stuffed dots
	}
	if err := w.send(x.Content, x.Size); err == nil {
		s.pipe.complete()
	} else if cause := unreadable(err); cause != nil {
		s.sourceFailed(x, cause)
	} else {
		s.pipe.drain()
	}
}

// sourceFailed fails a message that cannot be read, and closes the connection: a part of the content may have been
// sent.
func (s *serving) sourceFailed(x *transaction, err error) {
	x.fail(&Error{Op: attempt.OpContent, Err: err, Source: true})
	closed := errors.New("the connection is closed, as a message could not be read to its end")
	s.pipe.abort(s.c.wire.lost(attempt.OpContent, closed))
}

// A pieceWriter collects content and sends the content in pieces.
type pieceWriter struct {
	pipe   *pipeline
	limit  int     // size of a piece, in octets
	direct *flight // a large content is read into the flight; nil: the content is copied
}

// send sends content with stuffed dots and the lone dot at the end.
func (w *pieceWriter) send(content io.Reader, size int64) error {
	if w.direct == nil {
		return sendContent(w, content, size)
	}
	s := stuffer{w: w}
	for total := int64(0); ; {
		start := w.direct.len()
		room := max(1, w.limit-start)
		buf := w.direct.grow(room)
		n, err := content.Read(buf[start : start+room])
		total += int64(n)
		if total > size || err == io.EOF && total < size {
			return sourceError{fmt.Errorf("the content is not %d octets long", size)}
		}
		part := buf[start : start+n]
		if s.passes(part) {
			w.direct.set(buf[:start+n])
			if err := w.flush(); err != nil {
				return err
			}
		} else if err := s.write(bytes.Clone(part)); err != nil { // the flight gets more octets than were read
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

// flush sends a complete piece.
func (w *pieceWriter) flush() error {
	if w.pipe.wire.out.len() >= w.limit {
		w.pipe.flush()
	}
	return w.pipe.wire.writeErr
}

// Write appends content to the flight, and sends a complete piece.
func (w *pieceWriter) Write(b []byte) (int, error) {
	out := &w.pipe.wire.out
	buf := out.bytes()
	if room := min(w.limit, defaultPiece); room > cap(buf) {
		buf = slices.Grow(buf, room-len(buf)) // one allocation
	}
	out.set(append(buf, b...))
	if err := w.flush(); err != nil {
		return 0, err
	}
	return len(b), nil
}
