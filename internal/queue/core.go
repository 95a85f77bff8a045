package queue

import (
	"iter"
	"maps"
	"slices"
	"time"
	"unique"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/retry"
)

// core has the entries, and the moves between states that several inputs share.
type core struct {
	rules    Rules
	entries  map[string]*entry         // by file name
	memory   map[string]record.Compact // by file name: messages whose file has not been seen
	index    index                     // entries with a version, by version
	absent   absent                    // entries whose file is not in the spool directory
	sched    schedule
	packer   *record.Packer
	trouble  map[*entry]error // why the last act for an entry failed, if that was not the fault of the file
	acts     []Act
	events   []Event
	underWay int  // acts that are not answered, but for Notify
	changed  bool // the snapshot has changed
	ordered  bool // maps are read in the order of their keys: a test can repeat what happened

	// served holds the records of messages that every recipient has accepted, in state removing. Nearly all of these
	// files are removed, so the records are packed only if they are needed.
	served    map[*entry]*record.Message
	scratch   record.Message // memory for the record of startJob
	taken     []Act          // memory of the last taken acts
	published []Event        // memory of the last taken events
}

func newCore(r Rules, now time.Time) core {
	return core{
		rules: r, entries: make(map[string]*entry), memory: make(map[string]record.Compact),
		sched: newSchedule(r.Routes, now), packer: record.NewPacker(now), trouble: make(map[*entry]error),
		served: make(map[*entry]*record.Message), absent: newAbsent(),
	}
}

// inOrder yields m, in the order of its keys if ordered is set. Keys that are deleted meanwhile are left out.
func inOrder[V any](m map[string]V, ordered bool) iter.Seq2[string, V] {
	if !ordered {
		return maps.All(m)
	}
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if v, ok := m[key]; ok && !yield(key, v) {
				return
			}
		}
	}
}

// add adds a file to be read at the time due.
func (c *core) add(name string, seen *seenFile, due time.Time) *entry {
	e := newEntry(name, seen)
	if known, ok := c.memory[name]; ok {
		e.msg = known
		delete(c.memory, name)
		e.set(recalled, true)
		c.absent.recalled++
	}
	c.entries[name] = e
	c.sched.move(e, unread, due)
	return e
}

// drop removes e, which has no running act.
func (c *core) drop(e *entry) {
	c.leave(e)
	c.setVersion(e, Version{})
}

// reread lets the file of e be read again, because the record does not cover all of the message.
func (c *core) reread(e *entry, now time.Time) {
	c.sched.remove(e)
	delete(c.trouble, e)
	if e.msg.Holds() && e.msg.Message().Len() == 0 {
		e.msg = record.Compact{}
	}
	e.seen, e.suspect, e.looks = seenAt(now), nil, 0
	e.set(soon|judged|returned|noticing|refused, false)
	c.changed = true
	c.sched.move(e, unread, now)
}

// keep gives e the record m.
func (c *core) keep(e *entry, m *record.Message, now time.Time) {
	c.sched.unready(e)
	e.msg = c.packer.Pack(m, now)
	e.sender, e.priority = unique.Make(m.From).Value(), clampPriority(m.Priority)
	e.set(fresh, m.Attempts == 0 && !e.has(refused))
	e.route = c.nextRoute(m)
	if e.state == ready {
		c.sched.ready[e.route].of(e).Push(e)
	}
	c.changed = true
	c.watch(e, m)
}

// packServed gives every served message its record.
func (c *core) packServed(now time.Time) {
	for e, m := range c.served {
		c.keep(e, m, now)
	}
	clear(c.served)
}

// watch updates the place of e in expiry.
func (c *core) watch(e *entry, m *record.Message) {
	var look time.Time
	isHeld := e.state == held || e.state == missing || e.state == checking && e.before == held
	if m.Len() > 0 && !isHeld {
		look = c.expires(e, m)
		if at := c.noticeAt(m); !e.has(noticing) && !at.IsZero() && at.Before(look) {
			look = at
		}
	}
	c.sched.watch(e, look)
}

// expires returns the time when m is given up for its age.
func (c *core) expires(e *entry, m *record.Message) time.Time {
	seen := e.firstSeen()
	if !m.Overdue.IsZero() {
		seen = m.Overdue // by this or an earlier process
	}
	return retry.End(m.Enqueued, m.NotBefore, m.Expire, seen, c.rules.MaxAge)
}

// noticeAt returns when the sender of m is to get a notice although recipients still wait; zero: never.
func (c *core) noticeAt(m *record.Message) time.Time {
	if !c.rules.Reports {
		return time.Time{}
	}
	return record.NoticeAt(m, c.rules.WarnAfter)
}

// conclude moves e to the state that follows from its record m: some recipient is due, some wait, or none does.
func (c *core) conclude(e *entry, m *record.Message, now time.Time) {
	switch at, waits := m.NextAttempt(); {
	case waits && c.forbids(m) != "":
		c.sched.watch(e, time.Time{})
		c.act(e, removing, Act{Kind: Hold, Version: e.id})
	case waits && !at.After(now):
		c.sched.move(e, ready, at)
	case waits:
		c.sched.move(e, waiting, at)
	default:
		c.finish(e, m, now)
	}
}

// finish requests the act that ends the message m, of which no recipient waits.
func (c *core) finish(e *entry, m *record.Message, now time.Time) { c.finishWith(e, m, Act{}) }

// finishWith is finish with an act that holds the acceptances that the act makes durable: Note and events.
func (c *core) finishWith(e *entry, m *record.Message, a Act) {
	a.Kind, a.Version, a.Returned = Remove, e.id, e.has(returned)
	s := removing
	if m.Failed() {
		s, a.Kind, a.Message, a.Owed = failing, Fail, m, c.rules.Reports && record.OwesNotice(m, c.rules.Postmaster)
	}
	c.act(e, s, a)
}

// open asks for the file of e to be read.
func (c *core) open(e *entry) {
	known := e.msg
	if known.Holds() && known.Message().Len() == 0 {
		known = record.Compact{} // of a file that could not be read: it may be readable now
	}
	c.act(e, opening, Act{
		Kind: Open, Version: e.id, Since: e.firstSeen(), How: e.how(), Known: known, Skip: e.has(judged),
	})
}

// check asks where the file of e is now.
func (c *core) check(e *entry) {
	e.before = e.state
	due := c.sched.time(e.due)
	c.act(e, checking, Act{Kind: Stat, Version: e.id, Held: e.before == held})
	e.due = c.sched.moment(due)
}

// outsideCause keeps the error of the act r for e if the cause lies outside of the file, and reports whether it does.
func (c *core) outsideCause(e *entry, r Result) bool {
	if r.Trouble == System || r.Trouble == Gone {
		c.trouble[e] = r.Err
		return true
	}
	delete(c.trouble, e)
	return false
}
