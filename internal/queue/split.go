package queue

import (
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// A message takes the route of its sender, except for recipients with a route of their own (Rules.RouteTo). Such a
// message is in the lane of one route at a time, and a job has the recipients of that route. The others stay due, and
// are next. If a route cannot be used, Divert moves the message to the lane of another route with a due recipient.

// routeTo returns the route of a recipient of m.
func (r *Rules) routeTo(m *record.Message, to string) int32 {
	if r.RouteTo != nil {
		if i, ok := r.RouteTo(to); ok {
			return int32(i)
		}
	}
	return int32(r.RouteOf(record.RouteSender(m)))
}

// route returns the route of e.
func (r *Rules) route(e *entry) int32 {
	if from := e.from(); from != "" && r.RouteTo == nil {
		return int32(r.RouteOf(from))
	}
	return r.nextRoute(e.msg.Message())
}

// nextRoute returns the route of the waiting recipient of m with the earliest attempt.
func (r *Rules) nextRoute(m *record.Message) int32 {
	if r.RouteTo != nil {
		var next *record.Recipient
		for _, one := range m.Recipients() {
			if one.Status == record.Waiting && (next == nil || one.NextAttempt.Before(next.NextAttempt)) {
				next = one
			}
		}
		if next != nil {
			return r.routeTo(m, next.Address)
		}
	}
	return int32(r.RouteOf(record.RouteSender(m)))
}

// onRoute returns the function that reports whether a recipient of m takes a route; nil: all recipients do.
func (r *Rules) onRoute(m *record.Message, route int32) func(to string) bool {
	if r.RouteTo == nil {
		return nil
	}
	return func(to string) bool { return r.routeTo(m, to) == route }
}

// Divert moves the messages of a route that cannot be used to another route, if a recipient is due there. The work is
// done in pieces. At its end then is called with whether a message was moved, and whether messages remain that may be
// moved later.
func (q *Queue) Divert(route int, then func(moved, more bool)) *Work {
	c := &q.core
	if c.rules.RouteTo == nil || route >= c.rules.Routes || q.Ready(route) == 0 {
		then(false, false)
		return &Work{}
	}
	var moved, more bool
	first := c.sched.ready.first // another one: the routes have changed meanwhile
	do := func(s subject, now time.Time) {
		e := c.here(s)
		if e == nil || e.state != ready || c.sched.ready.first != first || !c.sched.ready.isOn(e, int32(route)) {
			return
		}
		other, found := divert(&c.rules, e.msg.Message(), int32(route), now)
		if more = more || found; other >= 0 {
			c.sched.unready(e)
			c.sched.ready.pushTo(e, other)
			moved = true
		}
	}
	end := func(time.Time) *Work {
		then(moved, more)
		return nil
	}
	return newWork(c, do, end, present(c))
}

// divert returns another route of m on which a recipient is due; negative: there is none. found is whether a recipient
// that waits has another route.
func divert(r *Rules, m *record.Message, route int32, now time.Time) (other int32, found bool) {
	for _, one := range m.Recipients() {
		if one.Status != record.Waiting {
			continue
		}
		other := r.routeTo(m, one.Address)
		if other == route {
			continue
		}
		if found = true; !one.NextAttempt.After(now) {
			return other, true
		}
	}
	return -1, found
}
