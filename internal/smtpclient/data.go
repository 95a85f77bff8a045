package smtpclient

import (
	"errors"
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
	if 0 < x.Size && x.Size <= maxFlight {
		w.limit = 2 * maxFlight // one write, for any number of stuffed dots
	}
	if err := sendContent(w, x.Content, x.Size); err == nil {
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
	pipe  *pipeline
	limit int // size of a piece, in octets
}

// Write appends content to the flight, and sends a complete piece.
func (w *pieceWriter) Write(b []byte) (int, error) {
	out := &w.pipe.wire.out
	buf := out.bytes()
	if room := min(w.limit, defaultPiece); room > cap(buf) {
		buf = slices.Grow(buf, room-len(buf)) // one allocation
	}
	out.set(append(buf, b...))
	if out.len() < w.limit {
		return len(b), nil
	}
	w.pipe.flush()
	if err := w.pipe.wire.writeErr; err != nil {
		return 0, err
	}
	return len(b), nil
}
