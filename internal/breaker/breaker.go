// Package breaker remembers whether something can be used, and when to try again what could not: it rests, a second at
// first and twice as long each time, until one probe has shown that it is well.
package breaker

import "time"

// The rest after the first trouble, and the longest one.
const (
	First = time.Second
	Most  = 5 * time.Minute
)

// Health is the state of one thing; the zero value is well. It has one owner.
type Health struct {
	rest    time.Duration
	began   time.Time // the first of a row of troubles
	since   time.Time // the last one
	until   time.Time
	err     error
	probing bool
}

// Well reports whether it can be used freely.
func (h *Health) Well() bool { return h.rest == 0 }

// Probed reports whether it has failed again after a rest.
func (h *Health) Probed() bool { return h.rest > First }

// Err is the trouble that it rests from; nil: it is well.
func (h *Health) Err() error { return h.err }

// Since is when the trouble began that it still has; zero: it is well.
func (h *Health) Since() time.Time { return h.began }

// Until is when the rest ends.
func (h *Health) Until() time.Time { return h.until }

// Take asks for its use. True: use it and tell by Trouble or Back, and by Release, how it went. After a rest only one
// user at a time gets it, as a probe.
func (h *Health) Take(now time.Time) bool {
	if h.Well() {
		return true
	}
	if h.probing || h.until.After(now) {
		return false
	}
	h.probing = true
	return true
}

// Release ends the use of a probe, whatever came of it.
func (h *Health) Release() { h.probing = false }

// Trouble sends it to rest; spread changes the length a little, so that not all come back together. It reports whether
// that is news: it is not if the use began before the rest did, nor when a probe failed.
func (h *Health) Trouble(err error, began, now time.Time, spread func(time.Duration) time.Duration) (news bool) {
	if !h.Well() && began.Before(h.since) {
		return false
	}
	if news = h.Well(); news {
		h.began = now
	}
	h.rest = min(max(2*h.rest, First), Most)
	h.since, h.until, h.err = now, now.Add(spread(h.rest)), err
	return news
}

// Back says that it could be used, and reports whether that is news.
func (h *Health) Back() (news bool) {
	news = !h.Well()
	*h = Health{probing: h.probing}
	return news
}

// Wake ends the rest: a probe may be made at once.
func (h *Health) Wake(now time.Time) {
	if h.until.After(now) {
		h.until = now
	}
}

// Wait is how long it is until Take may succeed; zero: now; negative: not before Release.
func (h *Health) Wait(now time.Time) time.Duration {
	switch {
	case h.Well():
		return 0
	case h.probing:
		return -1
	}
	return max(0, h.until.Sub(now))
}

// A Member is a thing of a Group and its health.
type Member[T any] struct {
	Item T
	Health
}

// Group holds things of which each does, in order of preference.
type Group[T any] []*Member[T]

// Take returns those that a user may use now, in order: all that are well, and those that this one user is to probe.
func (g Group[T]) Take(now time.Time) (usable []*Member[T]) {
	for _, m := range g {
		if m.Health.Take(now) {
			usable = append(usable, m)
		}
	}
	return usable
}

// Wait is how long it is until Take returns something; zero: now; negative: not before a Release.
func (g Group[T]) Wait(now time.Time) time.Duration {
	wait := time.Duration(-1)
	for _, m := range g {
		if w := m.Health.Wait(now); w >= 0 && (wait < 0 || w < wait) {
			wait = w
		}
	}
	return wait
}

// Wake ends every rest.
func (g Group[T]) Wake(now time.Time) {
	for _, m := range g {
		m.Health.Wake(now)
	}
}

// Well returns the first one that is well; nil: none is.
func (g Group[T]) Well() *Member[T] {
	for _, m := range g {
		if m.Health.Well() {
			return m
		}
	}
	return nil
}
