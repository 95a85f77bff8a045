// Package queue decides: which files of a spool are messages, who is tried when, what an outcome means, and what is to
// be done about it. The queue does nothing itself. Facts come in (a file was seen, a job finished, an act is done, time
// passed, a command), and acts and events come out. Every method takes the time, none blocks, and none touches a file:
//
//	Notice, Scan, Acted, Finished, Advance, commands ─▶ Queue ─▶ Next (jobs), TakeActs, TakeEvents
//
// An entry is one file of the spool. It is in one state, and has at most one job or act under way:
//
//	unread ─▶ opening ─▶ waiting ─▶ ready ─▶ busy ─┬─▶ recording ─┐
//	   ▲         │          ▲         │            ├─▶ waiting  ◀─┤ a recipient waits
//	   │         │          │         ▼            └─▶ removing ◀─┤ every recipient has accepted: act Remove
//	   │◀────────┘          │     checking             failing  ◀─┘ a recipient was given up: act Fail
//	   │ incomplete or      │         │                   │
//	   │ unusable           └── held ─┘                   ▼
//	   └◀── the file is another version now ◀──────── finishing: again after a pause
//
// # Identity
//
// A message is one file, whatever its name. An entry whose file is not at its name any more is missing, and keeps what
// is known for ten minutes, and until the spool directory and hold/ were listed. A file that was read and that has
// nothing known under its name is looked for, in this order:
//
//   - in index, by inode, size and modification time: the file was renamed, and its entry gets the new name, in flight
//     or not;
//   - among missing entries, by Message-ID or by the digests of header and body: it was moved by copy, or edited.
//
// Two files that exist at the same time are two messages. After a start the entries of the last run are compared with
// their files first; a new file that may be one of them waits for that.
//
// A Queue has one owner and no lock.
package queue

import (
	"iter"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// Rules are the options of a Queue. All fields are required; durations of zero mean zero, unless said otherwise.
type Rules struct {
	Freq      time.Duration // time between two looks at a file that cannot be used
	Settle    time.Duration // age at which a file that was written in place counts as complete
	Unused    time.Duration // age at which a file with a temporary name counts as complete
	MaxAge    time.Duration // age at which a message is given up
	WarnAfter time.Duration // age at which the sender is told of a delay; zero: never
	Reports   bool          // senders get reports
	Retry     record.Rule   // when a recipient is tried again

	Routes  int                     // number of routes; each has its own lane of ready messages
	RouteOf func(sender string) int // the route of a sender, below Routes
}

// Queue is the state of every message of a spool.
type Queue struct {
	core
	round uint16 // number of the last scan
}

// New returns an empty queue. Now is the time of this process, with its monotonic clock.
func New(r Rules, now time.Time) *Queue { return &Queue{core: newCore(r, now)} }

// Remember adds what the status file or the journal knows of a message whose file was not seen yet. Of two messages
// with one name the one that was missing or held, or else the first one, is taken for missing.
func (q *Queue) Remember(name string, m *record.Message, now time.Time) {
	if known, ok := q.memory[name]; ok {
		if old := known.Message(); identity(old) != identity(m) {
			away := old
			if !m.Missing.IsZero() || !m.Held.IsZero() {
				away, m = m, old
			}
			e := newEntry(name, seenAt(now))
			e.set(taken, true)
			q.miss(e, away, now)
		}
	}
	q.memory[name] = q.packer.Pack(m, now)
	if q.absent.unverified == nil {
		q.absent.unverified = make(map[uint64]string)
	}
	q.absent.unverified[q.absent.hash(m)] = name
}

// Remembered returns what is known of a message whose file was not seen yet.
func (q *Queue) Remembered(name string) (m *record.Message, ok bool) {
	known, ok := q.memory[name]
	return known.Message(), ok
}

// Advance says that time has passed: what is due is read, made ready, given up or finished, at most budget messages at
// a time. It reports whether more is due; files that wait for an answer to another act Open do not count. Room says how
// much can be sent now.
func (q *Queue) Advance(now time.Time, room Room, budget int) (more bool) {
	q.keepTime(now)
	q.sched.room = room
	for at, ok := q.sched.nextExpiry(); ok && !at.After(now); at, ok = q.sched.nextExpiry() {
		if budget--; budget < 0 {
			return true
		}
		expire(&q.core, q.sched.takeExpired(), now)
	}
	for e := q.sched.due(now); e != nil; e = q.sched.due(now) {
		if budget--; budget < 0 {
			return true
		}
		switch e.state {
		case unread:
			if room.Reads--; room.Reads < 0 {
				return false
			}
			q.open(e)
		case waiting:
			q.sched.move(e, ready, q.sched.time(e.due))
		case finishing:
			q.conclude(e, e.msg.Message(), now)
		case missing:
			q.forget(e, now)
		}
	}
	return false
}

// Wake returns the time at which Advance has something to do, and whether there is such a time. It may be in the past.
func (q *Queue) Wake() (at time.Time, ok bool) {
	pending, ok := q.sched.nextDue()
	if expiry, also := q.sched.nextExpiry(); also && (!ok || expiry.Before(pending)) {
		return expiry, true
	}
	return pending, ok
}

// Room is what can be sent now.
type Room struct {
	Free  int  // messages that could be sent at once
	Busy  bool // a job is under way: the next file can be read when the job ends
	Reads int  // further acts Open
}

// Ready returns the number of messages that may be sent by a route.
func (q *Queue) Ready(route int) int { return q.sched.ready[route].len() }

// Idle reports whether nothing can be sent now, nor as soon as a file has settled.
func (q *Queue) Idle(now time.Time) bool { return q.sched.idle(now) }

// Len returns the number of files that are messages or are still to be read.
func (q *Queue) Len() int { return len(q.entries) }

// Searching reports whether a file is missing that was not looked for everywhere: the next scan is to list the spool
// directory and hold/.
func (q *Queue) Searching() bool {
	for e := range q.absent.all {
		if e.state == held || !e.has(searched) {
			return true
		}
	}
	return false
}

// Trouble returns why some act fails for a reason that is not the fault of its file; nil: none does.
func (q *Queue) Trouble() error {
	for _, err := range q.trouble {
		return err
	}
	return nil
}

// Changed reports whether the snapshot has changed since Changed was called last.
func (q *Queue) Changed() bool {
	changed := q.changed
	q.changed = false
	return changed
}

// Named is a record and the name of its file.
type Named struct {
	Name   string
	Record record.Compact
}

// Snapshot yields what is known of every message, in no particular order.
func (q *Queue) Snapshot(now time.Time) iter.Seq[Named] {
	return func(yield func(Named) bool) {
		q.packServed(now)
		for name, known := range q.memory {
			if !yield(Named{name, known}) {
				return
			}
		}
		if !q.absent.snapshot(q.entries, yield) {
			return
		}
		for name, e := range q.entries {
			n := Named{name, e.msg}
			if !e.msg.Holds() {
				if e.seen == nil || e.seen.err == "" {
					continue
				}
				n.Record = q.packer.Pack(e.unreadable(e.seen.err), now)
			}
			if !yield(n) {
				return
			}
		}
	}
}

// TakeActs returns the acts that are to be done, in order. Each is answered by one call of Acted, unless its kind says
// otherwise. The slice is good until the next call.
func (q *Queue) TakeActs() []Act {
	acts := q.acts
	q.acts, q.taken = reuse(q.taken), acts
	return acts
}

// TakeEvents returns the events since the last call, in order. The slice is good until the next call.
func (q *Queue) TakeEvents() []Event {
	events := q.events
	q.events, q.published = reuse(q.published), events
	return events
}

// reuse returns the memory of a slice that is not needed any more, for another one.
func reuse[T any](s []T) []T {
	if cap(s) > maxReuse {
		return nil
	}
	clear(s)
	return s[:0]
}

// maxReuse is the number of acts, or events, from which on their memory is not kept.
const maxReuse = 1024
