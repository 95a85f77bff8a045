package queue

import (
	"iter"
	"math"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/chunks"
	"github.com/unbit/spoolgore/internal/record"
)

// A Work is a long work on all messages of a Queue, done in pieces: other methods of the Queue may be called between
// two pieces. To begin a Work takes no time, however many messages there are. All of a Work is to be done.
type Work struct {
	todo []subject                // the next messages
	more func() ([]subject, bool) // returns those after todo; nil: there are no others
	stop func()                   // ends more
	do   func(s subject, now time.Time)
	end  func(now time.Time) *Work // called at the end; nil: no call. The result is more work, or nil
}

// A subject is a message of a Work.
type subject struct {
	name string // of the file when the Work came to it
	e    *entry // nil: the file was not seen yet
}

// newWork returns the work of calling do for the messages of each source, and end at the end, if not nil. The sources
// have known messages only.
func newWork(
	c *core, do func(s subject, now time.Time), end func(now time.Time) *Work, sources ...iter.Seq[subject],
) *Work {
	return newLongWork(c, c.Known(), do, end, sources...)
}

// newLongWork is newWork for n messages.
func newLongWork(
	c *core, n int, do func(s subject, now time.Time), end func(now time.Time) *Work, sources ...iter.Seq[subject],
) *Work {
	w := &Work{do: do, end: end}
	if n > c.short {
		w.more, w.stop = iter.Pull(inChunks(c.chunk, sources))
		return w
	}
	for _, source := range sources {
		w.todo = slices.AppendSeq(w.todo, source)
	}
	return w
}

const (
	// chunkSize is the number of messages that a Work takes from its sources at a time.
	chunkSize = 64
	// shortQueue is the number of messages up to which a Work takes all from its sources at once.
	shortQueue = 4096
)

// inChunks yields the messages of all sources, size at a time. A slice is valid until the next one.
func inChunks(size int, sources []iter.Seq[subject]) iter.Seq[[]subject] {
	return func(yield func([]subject) bool) {
		chunk := make([]subject, 0, size)
		for _, source := range sources {
			for s := range source {
				if chunk = append(chunk, s); len(chunk) == size {
					if !yield(chunk) {
						return
					}
					chunk = chunk[:0]
				}
			}
		}
		if len(chunk) > 0 {
			yield(chunk)
		}
	}
}

// unseen yields the messages whose files were not seen yet.
func unseen(c *core) iter.Seq[subject] {
	return func(yield func(subject) bool) {
		for name := range inOrder(c.memory, c.ordered) {
			if !yield(subject{name: name}) {
				return
			}
		}
	}
}

// present yields the entries of the spool directory. Entries may come, go and get other names meanwhile: an entry that
// is new or has another name since may be left out, and an entry with another name since may come twice.
func present(c *core) iter.Seq[subject] {
	return func(yield func(subject) bool) {
		for name, e := range inOrder(c.entries, c.ordered) {
			if !yield(subject{name, e}) {
				return
			}
		}
	}
}

// Do works on the next n messages, and reports whether messages are left.
func (w *Work) Do(n int, now time.Time) (more bool) {
	for n > 0 && w.fill(now) {
		some := min(n, len(w.todo))
		for _, s := range w.todo[:some] {
			w.do(s, now)
		}
		w.todo = w.todo[some:]
		n -= some
	}
	return w.fill(now)
}

// fill takes more messages if none is at hand, and reports whether there are any.
func (w *Work) fill(now time.Time) bool {
	for len(w.todo) == 0 {
		switch {
		case w.more != nil:
			var ok bool
			if w.todo, ok = w.more(); !ok {
				w.stop()
				w.more, w.stop = nil, nil
			}
		case w.end == nil:
			return false
		default:
			more := w.end(now)
			if more == nil {
				more = &Work{}
			}
			*w = *more
		}
	}
	return true
}

// All does the rest of the work.
func (w *Work) All(now time.Time) {
	for w.Do(math.MaxInt, now) {
	}
}

// here returns the entry that s is about now, among the files of the spool directory; nil: there is none.
func (f *files) here(s subject) *entry {
	switch {
	case s.e == nil: // the file may have been seen since
		return f.entries[s.name]
	case f.entries[s.e.name] == s.e:
		return s.e
	}
	return nil
}

// A shot is a snapshot that is taken in pieces.
type shot struct {
	left    []Named            // by the name at the beginning: messages that have left their names since
	absent  []Named            // at the beginning
	records chunks.List[Named] // of the others
}

// Snap takes a snapshot in pieces, and calls then with a function that returns the record of every message that was
// known at the beginning, as of then or later. A message that got another name meanwhile may be there under both.
// Records are in no particular order. Any goroutine may call the function, once: with many messages it takes long.
func (q *Queue) Snap(now time.Time, then func(all func() []Named)) *Work {
	q.packServed(now)
	s := &shot{}
	q.absent.snapshot(q.entries, func(n Named) bool {
		s.absent = append(s.absent, n)
		return true
	})
	q.shots = append(q.shots, s)
	end := func(time.Time) *Work {
		for i, other := range q.shots {
			if other == s {
				q.shots = append(q.shots[:i:i], q.shots[i+1:]...)
				break
			}
		}
		then(s.all)
		return nil
	}
	take := func(x subject, now time.Time) { s.take(&q.core, x, now) }
	return newWork(&q.core, take, end, unseen(&q.core), present(&q.core))
}

// take adds the record of x, unless x has left its name: then the record is in left.
func (s *shot) take(c *core, x subject, now time.Time) {
	if n, ok := named(c, x, now); ok {
		s.records.Push(n)
	}
}

// named returns the record of x with its name now; not ok: there is no record, or x has left its name.
func named(c *core, x subject, now time.Time) (n Named, ok bool) {
	if x.e == nil {
		known, ok := c.memory[x.name]
		return Named{x.name, known}, ok
	}
	e := c.here(x)
	if e == nil {
		return n, false
	}
	n = Named{e.name, e.msg}
	if !n.Record.Holds() {
		if e.seen == nil || e.seen.err == "" {
			return n, false
		}
		n.Record = c.packer.Pack(e.unreadable(e.seen.err), now)
	}
	return n, true
}

// all returns the records. A message is there once under a name. Remember takes two messages of one name.
func (s *shot) all() []Named {
	if len(s.left) == 0 {
		return slices.AppendSeq(slices.Grow(s.absent, s.records.Len()), s.records.All())
	}
	left := make(map[string][]string, len(s.left)) // identities by name
	for _, n := range s.left {
		left[n.Name] = append(left[n.Name], identity(n.Record.Message()))
	}
	all := append(s.absent, s.left...)
	for n := range s.records.All() {
		if ids := left[n.Name]; len(ids) == 0 || !slices.Contains(ids, identity(n.Record.Message())) {
			all = append(all, n)
		}
	}
	return all
}

// leaving tells the works under way that e leaves its name. A snapshot has the absent messages from the beginning.
func (f *files) leaving(e *entry) {
	if f.entries[e.name] == e {
		f.left(e.name, e.msg, e)
		e.stream = 0
		f.edition.leaves(e)
	}
}

// left tells the snapshots under way of a record that is no longer kept under the name: of e or, if e is nil, of a file
// that was not seen yet.
func (f *files) left(name string, known record.Compact, e *entry) {
	if !known.Holds() {
		return
	}
	n := Named{name, known}
	for _, s := range f.shots {
		s.left = append(s.left, n)
	}
	f.stream.leave(name, n, e)
}
