package queue

import "github.com/unbit/spoolgore/internal/fairqueue"

// readyEntries are the entries that may be sent now, in the lanes of their routes. New rules have new routes, with new
// lanes: an entry that was ready before stays in a lane of the former rules, from which nothing is sent, until it is
// moved.
type readyEntries struct {
	lanes   []lanes              // those of former rules, then the lanes of each route
	base    int32                // number of the first of lanes
	first   int32                // number of the lanes of route 0
	routeOf func(e *entry) int32 // the route of an entry
}

// setRoutes makes lanes for each route of r.
func (r *readyEntries) setRoutes(rules *Rules) {
	routes := *rules
	r.routeOf = routes.route
	r.first = r.base + int32(len(r.lanes))
	for range routes.Routes {
		r.lanes = append(r.lanes, newLanes())
	}
	r.former(0)
}

// former returns up to n entries of former rules. Lanes of former rules without entries are removed.
func (r *readyEntries) former(n int) (some []*entry) {
	for r.base < r.first && r.lanes[0].len() == 0 {
		r.lanes = r.lanes[1:]
		r.base++
	}
	if r.base == r.first {
		return nil
	}
	for _, l := range []*lane{r.lanes[0].small, r.lanes[0].large} {
		for _, part := range []*fairqueue.Queue[*entry]{l.fresh, l.tried, l.suspect} {
			for e := range part.All() {
				if len(some) == n {
					return some
				}
				some = append(some, e)
			}
		}
	}
	return some
}

// route returns the lanes of a route, until the next rules.
func (r *readyEntries) route(route int) *lanes { return &r.lanes[r.first-r.base+int32(route)] }

// isOn reports whether e, which is ready, is in a lane of the route.
func (r *readyEntries) isOn(e *entry, route int32) bool { return e.lane == r.first+route }

// of returns the lane of e.
func (r *readyEntries) of(e *entry) *lane {
	l := r.lanes[e.lane-r.base]
	if e.id.Size >= LargeSize {
		return l.large
	}
	return l.small
}

// push puts e, which is ready and in no lane, into the lane of its route.
func (r *readyEntries) push(e *entry) { r.pushTo(e, r.routeOf(e)) }

// pushTo puts e into the lane of the route.
func (r *readyEntries) pushTo(e *entry, route int32) {
	e.lane = r.first + route
	r.of(e).Push(e)
}

// lanes hold the messages that one route may send. Large messages have a separate lane, so that they cannot occupy all
// connections.
type lanes struct {
	small, large *lane
	wasLarge     bool // the last message was large
}

func newLanes() lanes { return lanes{small: newLane(), large: newLane()} }

// A lane holds messages: by priority, fresh mail before retries, and the owners of files in turn, each with the senders
// in turn: a sender can be forged. One in freshShare messages is a retry, so that fresh mail without end leaves room.
//
// A recovering relay is not probed with the message that made the relay fail. So such a suspect message goes when no
// other one is ready, or when suspectShare others have gone first, so that mail without end leaves room.
type lane struct {
	fresh, tried *fairqueue.Queue[*entry] // not suspect
	suspect      *fairqueue.Queue[*entry]
	row          int // fresh messages since the last retry
	others       int // other messages since there are suspect ones, or since the last one
}

const (
	freshShare   = 8
	suspectShare = 64
)

func newLane() *lane {
	rules := fairqueue.Rules[*entry]{
		User:   func(e *entry) uint32 { return e.user },
		Owner:  func(e *entry) string { return e.from() },
		Urgent: urgent,
		First:  func(a, b *entry) bool { return a.due < b.due },
		Place:  placeIn(1),
	}
	return &lane{fresh: fairqueue.New(rules), tried: fairqueue.New(rules), suspect: fairqueue.New(rules)}
}

// urgent reports whether a goes before b, whether tried before or not.
func urgent(a, b *entry) bool { return a.priority > b.priority }

// of returns the part of l for e.
func (l *lane) of(e *entry) *fairqueue.Queue[*entry] {
	switch {
	case e.suspect != nil:
		return l.suspect
	case e.has(fresh):
		return l.fresh
	}
	return l.tried
}

// turn returns the part of l that has the next message.
func (l *lane) turn() *fairqueue.Queue[*entry] {
	part := l.healthy()
	if l.suspect.Len() > 0 && (part.Len() == 0 || l.others >= suspectShare && !urgent(part.Peek(), l.suspect.Peek())) {
		return l.suspect
	}
	return part
}

// healthy returns the part of l that has the next message that is not suspect; an empty part if there is none.
func (l *lane) healthy() *fairqueue.Queue[*entry] {
	switch {
	case l.tried.Len() == 0:
		return l.fresh
	case l.fresh.Len() == 0:
		return l.tried
	}
	a, b := l.fresh.Peek(), l.tried.Peek()
	if urgent(b, a) || !urgent(a, b) && l.row >= freshShare-1 {
		return l.tried
	}
	return l.fresh
}

// Len returns the number of messages.
func (l *lane) Len() int { return l.fresh.Len() + l.tried.Len() + l.suspect.Len() }

// Push adds e.
func (l *lane) Push(e *entry) {
	if e.suspect != nil && l.suspect.Len() == 0 {
		l.others = 0
	}
	l.of(e).Push(e)
}

// Remove removes e if e is in l.
func (l *lane) Remove(e *entry) { l.of(e).Remove(e) }

// Peek returns the next message. The lane must not be empty.
func (l *lane) Peek() *entry { return l.turn().Peek() }

// Next removes and returns the next message. The lane must not be empty.
func (l *lane) Next() *entry {
	part := l.turn()
	l.others++
	switch part {
	case l.fresh:
		l.row++
	case l.tried:
		l.row = 0
	case l.suspect:
		l.others = 0
	}
	return part.Next()
}

func (l *lanes) len() int { return l.small.Len() + l.large.Len() }

// pick returns the lane of the next message; nil if neither lane may send. While small messages are ready, only one
// large message is sent at a time, and a small one goes next: else large messages without end would use up a limit, or
// the only connection.
func (l *lanes) pick(s Slots) *lane {
	large := l.large.Len() > 0 && s.Large > 0
	switch {
	case large && (s.LargeBusy == 0 && !l.wasLarge || l.small.Len() == 0):
		return l.large
	case l.small.Len() > 0:
		return l.small
	}
	return nil
}

// next removes and returns the next message of the lane from, which pick returned.
func (l *lanes) next(from *lane) *entry {
	l.wasLarge = from == l.large
	return from.Next()
}
