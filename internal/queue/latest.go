package queue

import "time"

const (
	// latestFiles is the number of files in latest.
	latestFiles = 64
	// earlyPause is the time between two reads before the turn. Such a file is opened twice if it cannot be sent at
	// once.
	earlyPause = 5 * time.Millisecond
)

// arrived notes that e is the latest file.
func (s *schedule) arrived(e *entry) {
	if len(s.latest) == latestFiles {
		s.latest = append(s.latest[:0], s.latest[1:]...)
	}
	s.latest = append(s.latest, e)
}

// takeLatest returns the latest file if it is to be read before its turn: many files came before, and the latest may be
// of another sender, who should not wait for them. Nil: there is none, or it is too early.
func (s *schedule) takeLatest(now time.Time) *entry {
	if len(s.latest) == 0 || now.Before(s.early) || !s.patient() && !s.behind(now) {
		return nil
	}
	for len(s.latest) > 0 {
		last := len(s.latest) - 1
		e := s.latest[last]
		s.latest[last] = nil
		s.latest = s.latest[:last]
		if e.state == unread && e.looks == 0 && e.place[0] >= 0 {
			s.early = now.Add(earlyPause)
			return e
		}
	}
	return nil
}

// nextEarly returns when takeLatest may return a file; not ok: not before another file arrives.
func (s *schedule) nextEarly() (at time.Time, ok bool) {
	return s.early, len(s.latest) > 0 && s.patient()
}

// behind reports whether files arrive faster than they are read.
func (s *schedule) behind(now time.Time) bool {
	if s.pending.Len() == 0 {
		return false
	}
	e := s.pending.Top()
	return e.state == unread && now.Sub(s.time(e.due)) > earlyPause
}

// patient reports whether files are read later, as there is enough to send.
func (s *schedule) patient() bool { return s.room.Busy && s.backlog() >= s.room.Free }
