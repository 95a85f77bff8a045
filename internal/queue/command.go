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
		if e.sender != "" && !timed && r.RouteTo == nil {
			e.route = int32(r.RouteOf(e.sender))
			continue
		}
		m := e.msg.Message()
		if timed && e.state != unread {
			q.watch(e, m)
		}
		e.route = q.rules.nextRoute(m)
	}
	for _, e := range here {
		q.sched.ready[e.route].of(e).Push(e)
	}
	for _, e := range inOrder(q.entries, q.ordered) {
		if r.Forbidden == nil || e.state != ready && e.state != waiting {
			continue
		}
		if m := e.msg.Message(); q.rules.forbids(m) != "" {
			q.conclude(e, m, now)
		}
	}
}
