package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/chunks"
)

// A Stream is a snapshot of a long queue. The owner takes a few records at a time, and may call other methods of the
// Queue between. A Stream has the record of every message known at the beginning, as of the beginning or later. Records
// are in the order of the names at the beginning. Records of messages that have left their names since come at the end,
// also of messages that are new since the beginning. A Queue has at most one Stream.
type Stream struct {
	c      *core
	found  chunks.List[subject] // before Sort
	todo   []subject            // not taken yet
	absent []Named              // at the beginning, not taken yet
	left   []Named              // by the name when the message left the name
	passed string               // name of the last subject that was taken
}

// BeginStream begins a Stream of q. Collect must follow, and in the end Close.
func BeginStream(q *Queue, now time.Time) *Stream {
	q.packServed(now)
	s := &Stream{c: &q.core}
	q.absent.snapshot(q.entries, func(n Named) bool {
		s.absent = append(s.absent, n)
		return true
	})
	if q.streams++; q.streams == 0 { // a Stream before may have had the next number, and ended before it took a message
		for _, e := range q.entries {
			e.stream = 0
		}
		q.streams = 1
	}
	q.stream = s
	return s
}

// Collect returns the work of collecting the messages.
func (s *Stream) Collect() *Work {
	collect := func(x subject, _ time.Time) { s.found.Push(x) }
	return newWork(s.c, collect, nil, unseen(s.c), present(s.c))
}

// Len returns the number of files not taken yet.
func (s *Stream) Len() int { return s.found.Len() + len(s.todo) + len(s.absent) }

// Sort sorts the messages. The owner calls Sort once after Collect and before Next, in any goroutine.
func (s *Stream) Sort() {
	s.todo = slices.AppendSeq(make([]subject, 0, s.found.Len()), s.found.All())
	s.found = chunks.List[subject]{}
	slices.SortFunc(s.todo, func(a, b subject) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(s.absent, func(a, b Named) int { return cmp.Compare(a.Name, b.Name) })
}

// Next takes about n records, and reports whether more are left.
func (s *Stream) Next(n int, now time.Time) (records []Named, more bool) {
	for range min(n, len(s.todo)) {
		x := s.todo[0]
		for len(s.absent) > 0 && s.absent[0].Name < x.name {
			records, s.absent = append(records, s.absent[0]), s.absent[1:]
		}
		s.todo, s.passed = s.todo[1:], x.name
		if e := s.c.here(x); x.e != nil && e != nil {
			if e.stream == s.c.streams {
				continue // collected under two names
			}
			e.stream = s.c.streams
		}
		if record, ok := named(s.c, x, now); ok {
			records = append(records, record)
		}
	}
	if len(s.todo) > 0 {
		return records, true
	}
	slices.SortFunc(s.left, func(a, b Named) int { return cmp.Compare(a.Name, b.Name) })
	records = append(append(records, s.absent...), s.left...)
	s.absent, s.left = nil, nil
	s.Close()
	return records, false
}

// Close ends the Stream.
func (s *Stream) Close() {
	if s.c.stream == s {
		s.c.stream = nil
	}
}

// leave adds a record of a message without the name since, of e or, if e is nil, of a file not seen yet. A record taken
// before stays.
func (s *Stream) leave(name string, n Named, e *entry) {
	switch {
	case s == nil:
	case e == nil && name <= s.passed:
	case e != nil && e.stream == s.c.streams:
	default:
		s.left = append(s.left, n)
	}
}
