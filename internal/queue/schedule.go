package queue

import (
	"iter"
	"time"

	"github.com/unbit/spoolgore/internal/compact"
	"github.com/unbit/spoolgore/internal/pqueue"
)

const (
	// readPatience is how long a file may stay unread while there is enough to send. The time is short: the file may be
	// urgent, or of another sender.
	readPatience = time.Second
	// clockSet is the difference between wall clock and monotonic clock that means that the clock was set.
	clockSet = time.Second
	// LargeSize is the size of a file in bytes from which a message counts as large: it occupies a connection for long.
	LargeSize = 1 << 20
)

// schedule keeps the entries in order of time and of turn.
type schedule struct {
	pending *pqueue.Queue[*entry] // unread, waiting, finishing, missing: by due
	expiry  *pqueue.Queue[*entry] // entries that were read, by the time of giving up or of the next notice
	ready   readyEntries
	epoch   time.Time // moments count from here
	latest  []*entry  // files that arrived last, oldest first: some are read before their turn
	early   time.Time // when the next one of latest may be read
	room    Room
	counts  counter
}

func newSchedule(r *Rules, now time.Time) schedule {
	s := schedule{
		pending: pqueue.New(func(a, b *entry) bool { return a.due < b.due }, placeIn(0)),
		expiry:  pqueue.New(func(a, b *entry) bool { return a.look < b.look }, placeIn(2)),
		epoch:   now,
	}
	s.ready.setRoutes(r)
	return s
}

// placeIn returns where an entry keeps its index in pending (0), ready (1) and expiry (2).
func placeIn(i int) func(*entry) *int32 { return func(e *entry) *int32 { return &e.place[i] } }

func (s *schedule) moment(t time.Time) compact.Moment { return compact.MomentOf(t, s.epoch) }

func (s *schedule) time(m compact.Moment) time.Time { return m.Time(s.epoch) }

// clockWasSet reports whether the clock was set since the time from which moments count.
func (s *schedule) clockWasSet(now time.Time) bool {
	return (now.Round(0).Sub(s.epoch.Round(0)) - now.Sub(s.epoch)).Abs() >= clockSet
}

// restart makes the moments of all entries count from now.
func (s *schedule) restart(all iter.Seq[*entry], now time.Time) {
	for e := range all {
		e.due, e.look = compact.MomentOf(s.time(e.due), now), compact.MomentOf(s.time(e.look), now)
	}
	s.epoch = now
	s.pending.Reorder()
	s.expiry.Reorder()
}

// move puts e into state to, and into the heap or lane of that state.
func (s *schedule) move(e *entry, to state, due time.Time) {
	s.pending.Remove(e)
	s.unready(e)
	e.state, e.due = to, s.moment(due)
	switch to {
	case unread, waiting, finishing, missing:
		s.pending.Push(e)
	case ready:
		s.ready.push(e)
	}
	s.counts.count(e)
}

// unready removes e from its lane, before the sender, the priority or the size of e changes.
func (s *schedule) unready(e *entry) {
	if e.state == ready && e.place[1] >= 0 {
		s.ready.of(e).Remove(e)
	}
}

// remove takes e out of everything.
func (s *schedule) remove(e *entry) {
	s.pending.Remove(e)
	s.unready(e)
	s.expiry.Remove(e)
	s.counts.remove(e)
}

// watch puts e into expiry at the time look; the zero time takes e out.
func (s *schedule) watch(e *entry, look time.Time) {
	s.expiry.Remove(e)
	if !look.IsZero() {
		e.look = s.moment(look)
		s.expiry.Push(e)
	}
}

// takeExpired takes the first entry out of expiry.
func (s *schedule) takeExpired() *entry {
	e := s.expiry.Top()
	s.expiry.Remove(e)
	return e
}

func (s *schedule) nextExpiry() (at time.Time, ok bool) {
	if s.expiry.Len() == 0 {
		return at, false
	}
	return s.time(s.expiry.Top().look), true
}

// due returns the first entry of pending that is due; nil if there is none.
func (s *schedule) due(now time.Time) *entry {
	if at, ok := s.nextDue(); !ok || at.After(now) {
		return nil
	}
	return s.pending.Top()
}

// nextDue returns when the first entry of pending is due. While there is enough to send, a file is read later: then it
// is opened once, for reading and sending.
func (s *schedule) nextDue() (at time.Time, ok bool) {
	if s.pending.Len() == 0 {
		return at, false
	}
	e := s.pending.Top()
	if at = s.time(e.due); e.state == unread && s.patient() {
		at = at.Add(readPatience)
	}
	return at, true
}

// backlog returns the number of messages that are ready.
func (s *schedule) backlog() (n int) {
	for _, l := range s.ready.lanes {
		n += l.len()
	}
	return n
}

// idle reports whether no entry is ready, due, or about to settle.
func (s *schedule) idle(now time.Time) bool {
	if s.backlog() > 0 {
		return false
	}
	for e := range s.pending.All() {
		if e.has(soon) || !s.time(e.due).After(now) {
			return false
		}
	}
	return true
}
