// Package health remembers whether something can be used, and when to try again what could not: it rests, a second at
// first and twice as long each time, until one probe has shown that it is well.
package health

import "time"

// The rest after the first trouble, and the longest one.
const (
	First = time.Second
	Most  = 5 * time.Minute
)

// Health is the state of one thing; the zero value is well. It has one owner.
type Health struct {
	rest    time.Duration
	until   time.Time
	err     error
	probing bool
}

// Well reports whether it can be used freely.
func (h *Health) Well() bool { return h.rest == 0 }

// Err is the trouble that it rests from; nil: it is well.
func (h *Health) Err() error { return h.err }

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
// that is news: it is not if it was resting already, nor when a probe failed.
func (h *Health) Trouble(err error, now time.Time, spread func(time.Duration) time.Duration) (news bool) {
	if h.until.After(now) {
		return false // of a use that began before the rest did
	}
	news = h.Well()
	h.rest = min(max(2*h.rest, First), Most)
	h.until, h.err = now.Add(spread(h.rest)), err
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
