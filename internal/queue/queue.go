// Package queue decides which files of a spool are messages, when each recipient is due, and what follows from an
// outcome. The queue does no I/O. Facts come in (a file was seen, a job finished, an act is done, time passed, a
// command), and acts and events come out. Every method takes the time. No method blocks or touches a file:
//
//	Notice, Scan, Acted, Finished, Advance, commands ─▶ Queue ─▶ Next (jobs), TakeActs, TakeEvents
//
// An entry is one file of the spool. An entry is in one state, and has at most one running job or act:
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
// A message is one file, under any name. An entry is missing if its file has left the name. A missing entry keeps its
// record for ten minutes, and until the spool directory and hold/ were listed. For a file without a record under its
// name the queue looks, in this order:
//
//   - in index, by inode, size and modification time: the file was renamed, and its entry gets the new name, in flight
//     or not;
//   - among missing entries, by Message-ID or by the digests of header and body: the file was moved by copy, or edited.
//
// Two files that exist at the same time are two messages. After a start the entries of the last run are compared with
// their files first; a new file that may be one of these messages waits for the comparison.
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
	Settle    time.Duration // age at which a file written in place counts as complete
	Unused    time.Duration // age at which a file with a temporary name counts as complete
	MaxAge    time.Duration // age at which a message is given up
	WarnAfter time.Duration // age at which the sender is told of a delay; zero: never
	Reports   bool          // senders get reports
	Retry     record.Rule   // when a recipient is tried again
	Most      int           // recipients of a message; a message with more is given up; zero: no limit

	Routes  int                     // number of routes; each has its own lane of ready messages
	RouteOf func(sender string) int // the route of a sender, below Routes

	RoutesKept bool // Routes, RouteOf and RouteTo say the same as those of the rules before

	Postmaster string // gets reports on mail of the null sender; empty: no reports on such mail

	// RouteTo returns the route of a recipient that has one; not ok: the recipient takes that of the sender. Nil: no
	// recipient has one.
	RouteTo func(to string) (route int, ok bool)

	// Forbidden returns the first recipient of a list to whom no mail is allowed; empty: there is none. Nil: likewise.
	Forbidden func(to []string) string
}

// Queue is the state of every message of a spool.
type Queue struct {
	core
	round uint16 // number of the last scan
}

// New returns an empty queue. now is the start of the process, with a monotonic clock reading.
func New(r Rules, now time.Time) *Queue { return &Queue{core: newCore(r, now)} }

// Remember adds a record of the status file or the journal, of a message whose file was not seen yet. If two messages
// have one name, the message that was missing or held counts as missing, otherwise the first message.
func (q *Queue) Remember(name string, m *record.Message, now time.Time) { q.remember(name, m, now) }

func (c *core) remember(name string, m *record.Message, now time.Time) {
	if known, ok := c.memory[name]; ok {
		if old := known.Message(); identity(old) != identity(m) {
			away := old
			if !m.Missing.IsZero() || !m.Held.IsZero() {
				away, m = m, old
			}
			e := newEntry(name, seenAt(now))
			e.set(taken, true)
			c.miss(e, away, now)
		}
	}
	c.memory[name] = c.packer.Pack(m, now)
	c.absent.note(c.absent.hash(m), name)
}

// Advance tells the time: due messages are read, made ready, given up or finished, at most budget messages at a time.
// It reports whether more messages are due; files that wait for an answer to another act Open do not count. room is the
// free capacity for sending.
func (q *Queue) Advance(now time.Time, room Room, budget int) (more bool) {
	if q.sched.clockWasSet(now) {
		q.sched.restart(q.all(), now)
	}
	q.sched.room = room
	for at, ok := q.sched.nextExpiry(); ok && !at.After(now); at, ok = q.sched.nextExpiry() {
		if budget--; budget < 0 {
			return true
		}
		expire(&q.core, q.sched.takeExpired(), now)
	}
	if room.Reads > 0 {
		if e := q.sched.takeLatest(now); e != nil {
			room.Reads--
			q.open(e)
		}
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
			m := e.msg.Message()
			if _, waits := m.NextAttempt(); waits {
				q.watch(e, m)
			}
			q.conclude(e, m, now)
		case missing:
			q.forget(e, now)
		}
	}
	at, ok := q.sched.nextExpiry() // of a message whose last act had failed
	return ok && !at.After(now)
}

// Wake returns the time of the next work of Advance, which may be in the past; ok is false if there is no work.
func (q *Queue) Wake() (at time.Time, ok bool) {
	pending, ok := q.sched.nextDue()
	if expiry, also := q.sched.nextExpiry(); also && (!ok || expiry.Before(pending)) {
		pending, ok = expiry, true
	}
	if early, also := q.sched.nextEarly(); also && (!ok || early.Before(pending)) {
		pending, ok = early, true
	}
	return pending, ok
}

// Room is the free capacity for sending.
type Room struct {
	Free  int  // messages that could be sent at once
	Busy  bool // a job is under way: the next file can be read when the job ends
	Reads int  // further acts Open
}

// Ready returns the number of messages that may be sent by a route.
func (q *Queue) Ready(route int) int { return q.sched.ready.route(route).len() }

// Idle reports whether no message can be sent now, nor as soon as a file has settled.
func (q *Queue) Idle(now time.Time) bool { return q.sched.idle(now) }

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

// Snapshot yields the record of every message, in no particular order.
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
