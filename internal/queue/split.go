package queue

import (
	"slices"
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

// Divert moves the messages of a route that cannot be used to another route, if a recipient is due there. Divert
// reports whether a message was moved, and whether messages remain that may be moved later.
func (q *Queue) Divert(route int, now time.Time) (moved, more bool) {
	if q.rules.RouteTo == nil || q.sched.ready[route].len() == 0 {
		return false, false
	}
	lane := q.sched.ready[route]
	for _, e := range slices.AppendSeq(slices.Collect(lane.small.All()), lane.large.All()) {
		m := e.msg.Message()
		for _, r := range m.Recipients() {
			other := q.rules.routeTo(m, r.Address)
			if r.Status != record.Waiting || int(other) == route {
				continue
			}
			if more = true; !r.NextAttempt.After(now) {
				q.sched.unready(e)
				e.route, moved = other, true
				q.sched.ready[other].of(e).Push(e)
				break
			}
		}
	}
	return moved, more
}
