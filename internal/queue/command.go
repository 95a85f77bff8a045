package queue

import (
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// Flush makes every waiting message due.
func (q *Queue) Flush(now time.Time) {
	retried := func(known record.Compact) record.Compact {
		m := known.Message()
		m.RetryAt(now)
		return q.packer.Pack(m, now)
	}
	for name, known := range inOrder(q.memory, q.ordered) {
		q.memory[name] = retried(known)
	}
	for _, e := range inOrder(q.entries, q.ordered) {
		switch e.state {
		case waiting, ready:
			m := e.msg.Message()
			m.RetryAt(now)
			q.keep(e, m, now)
			q.sched.move(e, waiting, now)
		case recording, checking, opening:
			if e.msg.Holds() && (e.state != checking || e.before != held) {
				e.msg = retried(e.msg)
			}
			if e.state == checking {
				e.due, e.looks = q.sched.moment(now), 0
			}
		case unread, finishing:
			if e.state == unread && e.msg.Holds() {
				e.msg = retried(e.msg)
			}
			e.looks = 0
			q.sched.move(e, e.state, now)
		}
	}
}

// Reload believes edited, the messages of a status file by file name. How says what the file was made from. A message
// that the file does not have is read again, but goes on if the file may be older than what is known.
func (q *Queue) Reload(edited map[string]*record.Message, how record.Edit, now time.Time) {
	inPause := !how.Since.IsZero() && !how.Live
	q.packServed(now)
	edit := func(name string, known record.Compact) record.Compact { // of a file that was not read yet
		switch m, by := known.Message(), edited[name]; {
		case by == nil && inPause:
			return q.packer.Pack(record.AcceptedOnly(m, now), now)
		case by != nil && record.CanEdit(by, m):
			return q.packer.Pack(record.Edited(m, by, how), now)
		}
		return known
	}
	for name, known := range inOrder(q.memory, q.ordered) {
		q.memory[name] = edit(name, known)
	}
	for _, e := range inOrder(q.entries, q.ordered) {
		switch m, by := e.msg.Message(), edited[e.name]; {
		case e.state == unread || e.state == opening || e.state == checking && e.before == unread:
			if e.msg.Holds() {
				e.msg = edit(e.name, e.msg)
			}
		case by != nil && !record.CanEdit(by, m):
		case by != nil:
			editRecord(&q.core, e, record.Edited(m, by, how), now)
		case inPause && e.state == checking:
			q.keep(e, record.AcceptedOnly(m, now), now) // read again when its file is found
		case inPause && !e.state.underWay():
			q.keep(e, record.AcceptedOnly(m, now), now)
			q.reread(e, now)
		}
	}
}

// editRecord sets the record of e to m, which a person has edited.
func editRecord(c *core, e *entry, m *record.Message, now time.Time) {
	record.Anchor(m, now)
	c.keep(e, m, now)
	if !e.state.underWay() && e.state != held {
		c.conclude(e, m, now)
	}
}

// Reconfigure changes the rules. Running jobs keep the number of their route.
func (q *Queue) Reconfigure(r Rules, now time.Time) {
	was := q.rules
	q.packServed(now)
	timed := r.MaxAge != was.MaxAge || r.WarnAfter != was.WarnAfter || r.Reports != was.Reports
	var here []*entry // ready
	for _, e := range inOrder(q.entries, q.ordered) {
		if e.state == ready {
			q.sched.unready(e)
			here = append(here, e)
		}
	}
	q.rules = r
	q.sched.setRoutes(r.Routes)
	for _, e := range inOrder(q.entries, q.ordered) {
		if !e.msg.Holds() {
			continue
		}
		sender := e.sender
		if sender == "" || timed {
			m := e.msg.Message()
			if sender = m.RouteSender(); timed && e.state != unread {
				q.watch(e, m)
			}
		}
		e.route = int32(r.RouteOf(sender))
	}
	for _, e := range here {
		q.sched.ready[e.route].of(e).Push(e)
	}
}
