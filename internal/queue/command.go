package queue

import (
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// InFlight reports whether the message name is in a transaction.
func InFlight(q *Queue, name string) bool {
	e := q.entries[name]
	return e != nil && e.state == busy
}

// Flush makes every waiting message due. The work is done in pieces.
func (q *Queue) Flush(now time.Time) *Work {
	return newWork(&q.core, func(s subject, now time.Time) {
		if known, ok := q.memory[s.name]; ok && s.e == nil {
			q.memory[s.name] = retried(q.packer, known, now)
		} else if e := q.here(s); e != nil {
			flush(&q.core, e, now)
		}
	}, nil, unseen(&q.core), present(&q.core))
}

// retried returns the record known with every waiting recipient due.
func retried(p *record.Packer, known record.Compact, now time.Time) record.Compact {
	m := known.Message()
	m.RetryAt(now)
	return p.Pack(m, now)
}

// flush makes e due, if it waits.
func flush(c *core, e *entry, now time.Time) {
	switch e.state {
	case waiting, ready:
		m := e.msg.Message()
		m.RetryAt(now)
		c.keep(e, m, now)
		c.sched.move(e, waiting, now)
	case recording, checking, opening:
		if e.msg.Holds() && (e.state != checking || e.before != held) {
			e.msg = retried(c.packer, e.msg, now)
		}
		if e.state == checking {
			e.due, e.looks = c.sched.moment(now), 0
		}
	case unread, finishing:
		if e.state == unread && e.msg.Holds() {
			e.msg = retried(c.packer, e.msg, now)
		}
		e.looks = 0
		c.sched.move(e, e.state, now)
	}
}

// Reconfigure changes the rules. Running jobs keep the number of their route.
func (q *Queue) Reconfigure(r Rules, now time.Time) {
	was := q.rules
	q.packServed(now)
	timed := r.MaxAge != was.MaxAge || r.WarnAfter != was.WarnAfter || r.Reports != was.Reports
	if q.rules = r; timed || !r.RoutesKept {
		reroute(&q.core, timed)
	}
	if r.Forbidden == nil {
		return
	}
	for _, e := range inOrder(q.entries, q.ordered) {
		if e.state != ready && e.state != waiting {
			continue
		}
		if m := e.msg.Message(); q.rules.forbids(m) != "" {
			q.conclude(e, m, now)
		}
	}
}

// reroute takes over new rules for routes, and if timed is set for ages.
func reroute(c *core, timed bool) {
	r := &c.rules
	var here []*entry // ready
	for _, e := range inOrder(c.entries, c.ordered) {
		if e.state == ready {
			c.sched.unready(e)
			here = append(here, e)
		}
	}
	c.sched.setRoutes(r.Routes)
	for _, e := range inOrder(c.entries, c.ordered) {
		if !e.msg.Holds() {
			continue
		}
		if e.from() != "" && !timed && r.RouteTo == nil {
			e.route = int32(r.RouteOf(e.from()))
			continue
		}
		m := e.msg.Message()
		if timed && e.state != unread {
			c.watch(e, m)
		}
		e.route = r.nextRoute(m)
	}
	for _, e := range here {
		c.sched.ready[e.route].of(e).Push(e)
	}
}
