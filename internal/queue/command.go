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

// Reconfigure changes the rules, and returns the rest of the work. Before that is done, too, no message is sent by a
// former route, or to a recipient that is forbidden now. Running jobs keep the number of their route.
func (q *Queue) Reconfigure(r Rules) *Work {
	was := q.rules
	q.rules = r
	if !r.RoutesKept || r.Forbidden != nil {
		q.sched.ready.setRoutes(&r)
	}
	return reroute(&q.core, func(time.Time) *Work {
		timed := r.MaxAge != was.MaxAge || r.WarnAfter != was.WarnAfter || r.Reports != was.Reports
		if !timed && r.Forbidden == nil {
			return nil
		}
		return newWork(&q.core, func(s subject, now time.Time) { reconsider(&q.core, s, now) }, nil, present(&q.core))
	})
}

// reroute returns the work of moving messages that are ready from the lanes of former rules.
func reroute(c *core, end func(time.Time) *Work) *Work {
	w := &Work{stop: func() {}, end: end}
	w.more = func() (some []subject, ok bool) {
		for _, e := range c.sched.ready.former(c.chunk) {
			some = append(some, subject{e: e})
		}
		return some, len(some) > 0
	}
	w.do = func(s subject, now time.Time) {
		e := s.e
		if e.state != ready {
			return
		}
		c.sched.unready(e)
		c.sched.ready.push(e)
		if c.rules.Forbidden == nil {
			return
		}
		if m := e.msg.Message(); c.rules.forbids(m) != "" {
			c.conclude(e, m, now)
		}
	}
	return w
}

// reconsider applies new rules for ages and for forbidden recipients to a message.
func reconsider(c *core, s subject, now time.Time) {
	e := c.here(s)
	if e == nil || !e.msg.Holds() || e.state == unread {
		return
	}
	m := e.msg.Message()
	c.watch(e, m)
	if (e.state == ready || e.state == waiting) && c.rules.forbids(m) != "" {
		c.conclude(e, m, now)
	}
}
