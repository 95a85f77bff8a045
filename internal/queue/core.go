package queue

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/retry"
)

// core has the entries, and the moves between states that several inputs share.
type core struct {
	files
	output
	rules   Rules
	sched   schedule
	packer  *record.Packer
	adopter *record.Packer // of records of the last run: there may be very many, one after the other
	senders senders
	trouble troubles
	changed bool // the snapshot has changed
	ordered bool // maps are read in the order of their keys: a test can repeat what happened
	chunk   int  // messages that a Work takes at a time, if there are more than short
	short   int

	// served holds the records of messages that every recipient has accepted, in state removing. Nearly all of these
	// files are removed, so the records are packed only if they are needed.
	served  map[*entry]*record.Message
	scratch record.Message // memory for a record that is looked at only
}

func newCore(r Rules, now time.Time) core {
	c := core{
		files: newFiles(), rules: r, sched: newSchedule(&r, now), packer: record.NewPacker(now), senders: make(senders),
		trouble: make(troubles), served: make(map[*entry]*record.Message), chunk: chunkSize, short: shortQueue,
		adopter: record.NewPacker(now),
	}
	c.adopter.Join()
	return c
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
		c.left(name, known, nil)
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
	if e.msg.Holds() && record.IsUnreadable(e.msg.Message()) {
		e.msg = record.Compact{}
	}
	e.seen, e.suspect, e.looks = seenAt(now), nil, 0
	e.set(soon|judged|returned|noticing|refused, false)
	c.changed = true
	c.sched.move(e, unread, now)
}

// keep gives e the record m.
func (c *core) keep(e *entry, m *record.Message, now time.Time) {
	keepPacked(c, e, m, c.packer.Pack(m, now))
}

// keepPacked is keep with the compact form of m.
func keepPacked(c *core, e *entry, m *record.Message, packed record.Compact) {
	c.sched.unready(e)
	e.msg = packed
	e.sender, e.priority = c.senders.shared(m.From), clampPriority(m.Priority)
	e.set(fresh, m.Attempts == 0 && !e.has(refused))
	e.later = laterGroup(m)
	if e.state == ready {
		c.sched.ready.push(e)
	}
	c.changed = true
	c.watch(e, m)
	c.sched.counts.count(e)
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
		look = c.rules.expires(e, m)
		if at := c.rules.noticeAt(m); !e.has(noticing) && !at.IsZero() && at.Before(look) {
			look = at
		}
	}
	c.sched.watch(e, look)
}

// expires returns the time when m is given up for its age.
func (r *Rules) expires(e *entry, m *record.Message) time.Time {
	seen := e.firstSeen()
	if !m.Overdue.IsZero() {
		seen = m.Overdue // by this or an earlier process
	}
	return retry.End(m.Enqueued, m.NotBefore, m.Expire, seen, r.MaxAge)
}

// noticeAt returns when the sender of m is to get a notice although recipients still wait; zero: never.
func (r *Rules) noticeAt(m *record.Message) time.Time {
	if !r.Reports {
		return time.Time{}
	}
	return record.NoticeAt(m, r.WarnAfter)
}

// conclude moves e to the state that follows from its record m: some recipient is due, some wait, or none does.
func (c *core) conclude(e *entry, m *record.Message, now time.Time) {
	switch at, waits := m.NextAttempt(); {
	case waits && c.rules.forbids(m) != "":
		c.sched.watch(e, time.Time{})
		c.act(e, removing, Act{Kind: Hold, Version: e.id})
	case waits && !at.After(now):
		c.sched.move(e, ready, at)
	case waits:
		c.sched.move(e, waiting, at)
	default:
		c.finish(e, m, Act{})
	}
}

// finish requests the act that ends the message m, of which no recipient waits. a has the acceptances that the act
// makes durable, and their events; empty: there are none.
func (c *core) finish(e *entry, m *record.Message, a Act) {
	a.Kind, a.Version, a.Returned = Remove, e.id, e.has(returned)
	s := removing
	if m.Failed() {
		s, a.Kind, a.Message, a.Owed = failing, Fail, m, c.rules.Reports && record.OwesNotice(m, c.rules.Postmaster)
	}
	c.act(e, s, a)
}

// open asks for the file of e to be read. During a Load the file is only compared with its record.
func (c *core) open(e *entry) {
	if c.load.parks(e) {
		return
	}
	known := e.msg
	if known.MessageIn(&c.scratch); known.Holds() && record.IsUnreadable(&c.scratch) {
		known = record.Compact{} // of a file that could not be read: it may be readable now
	}
	c.act(e, opening, Act{
		Kind: Open, Version: e.id, Since: e.firstSeen(), How: c.came(e).how(), Known: known, Skip: e.has(judged),
		Compare: c.load != nil,
	})
}

// check asks where the file of e is now.
func (c *core) check(e *entry) {
	e.before = e.state
	due := c.sched.time(e.due)
	c.act(e, checking, Act{Kind: Stat, Version: e.id, Held: e.before == held})
	e.due = c.sched.moment(due)
}

// troubles has, for entries whose last act failed, the error of the act if its cause lies outside of the file.
type troubles map[*entry]error

// add takes the result r of an act for e. It reports whether the act failed for a cause outside of the file.
func (t troubles) add(e *entry, r Result) bool {
	if r.Trouble == System || r.Trouble == Gone {
		t[e] = r.Err
		return true
	}
	delete(t, e)
	return false
}

// Trouble returns the reason for failed acts, apart from faults of their files; nil: none.
func (q *Queue) Trouble() error {
	for _, err := range q.trouble {
		return err
	}
	return nil
}
