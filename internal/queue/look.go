package queue

import (
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// found takes the result of act Stat.
func found(c *core, e *entry, r Result, now time.Time) {
	e.state = unread // no heap has e
	m := e.msg.Message()
	switch here := r.Trouble == Fine && r.Place == InSpool; {
	case here && (e.before == unread || m.Partial()):
		delete(c.absent.all, e) // a listed entry stays listed: the file is to be read, and may be another one
	case here:
		c.absent.remove(e)
	}
	switch {
	case r.Trouble != Fine && r.Trouble != Gone: // unknown; the next attempt will show the file or its absence
		notFound(c, e, m, now)
	case r.Trouble == Gone || r.Place == Nowhere:
		c.miss(e, m, now)
	case r.Place == InHold && e.before == unread && !e.msg.Holds():
		c.stranger = now
		c.drop(e)
	case r.Place == InHold:
		hold(c, e, m, r.Version, now)
	case e.before == unread:
		e.looks = 0
		if e.seen == nil {
			e.seen = seenAt(now)
		}
		c.sched.move(e, unread, now)
	case r.Version != e.id && e.before == held && r.Held:
		c.leave(e)
		c.add(e.name, seenAt(now), now)
		hold(c, e, m, e.id, now)
	case r.Version != e.id:
		c.replaced(e, r.Version, now)
	case m.Partial(), e.before == held && record.IsUnreadable(m):
		c.reread(e, now)
	case e.before == held:
		record.Release(m, now)
		e.seen = seenAt(now)
		e.set(noticing, false)
		c.keep(e, m, now)
		c.conclude(e, m, now)
	default:
		restore(c, e, m, now)
	}
}

// notFound ends state checking of e, whose record is m, if the place of the file is unknown.
func notFound(c *core, e *entry, m *record.Message, now time.Time) {
	later := now.Add(c.rules.Freq)
	if e.seen == nil {
		e.seen = seenAt(now)
	}
	switch {
	case e.before == unread && c.sched.time(e.due).Before(later):
		e.due = c.sched.moment(later)
	case e.before == waiting:
		m.Postpone(later)
		c.keep(e, m, now)
	case e.before == held:
		e.due = c.sched.moment(time.Time{})
	}
	restore(c, e, m, now)
}

// restore ends state checking: e, whose record is m, goes back to the state before, unless m was edited meanwhile.
func restore(c *core, e *entry, m *record.Message, now time.Time) {
	_, waits := m.NextAttempt()
	switch {
	case e.before == held || e.before == unread || e.before == finishing && !waits && !m.Partial():
		c.sched.move(e, e.before, c.sched.time(e.due))
	case m.Partial():
		c.reread(e, now)
	default:
		c.watch(e, m)
		c.conclude(e, m, now)
	}
}

// hold puts e, whose file is in hold/ under the name of e as version v, into state held.
func hold(c *core, e *entry, m *record.Message, v Version, now time.Time) {
	// The version e.id says less: a file that is not read yet may have replaced another one.
	edited := describes(m, v) != record.ThisVersion
	if e.before == held && (v == e.id || !edited) && c.entries[e.name] == e {
		c.sched.move(e, held, c.sched.time(e.due))
		return
	}
	c.leave(e)
	c.sched.move(e, held, time.Time{})
	if c.entries[e.name] == nil && !c.memory[e.name].Holds() {
		c.entries[e.name] = e
	} else {
		c.absent.add(e, m)
	}
	if m.Held.IsZero() {
		m.Held = now
	}
	if edited {
		m.MakePartial() // read again when it is back
	}
	c.absent.list(e, m) // a file with another name may be this one, edited; or this one is another file
	c.setVersion(e, v)
	m.Missing = time.Time{}
	c.keep(e, m, now)
}
