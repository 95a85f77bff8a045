// Package breaker is a circuit breaker. After a failure the use of a resource pauses, for a second at first and twice
// as long after each further failure, until a probe succeeds.
package breaker

import "time"

// The pause after the first failure, and the usual limit for a pause.
const (
	First = time.Second
	Most  = 5 * time.Minute
)

// Health is the state of a resource. The zero value is a healthy resource. A Health has one owner.
type Health struct {
	rest    time.Duration // last pause; zero: healthy
	began   time.Time     // first failure since the resource was healthy
	since   time.Time     // last failure
	until   time.Time     // end of the pause
	err     error         // last failure
	probing bool          // a probe is in progress
}

// Well reports whether the resource is healthy.
func (h *Health) Well() bool { return h.rest == 0 }

// Probed reports whether a probe has failed after a pause.
func (h *Health) Probed() bool { return h.rest > First }

// Err returns the last failure, or nil for a healthy resource.
func (h *Health) Err() error { return h.err }

// Since returns the time of the first failure, or zero for a healthy resource.
func (h *Health) Since() time.Time { return h.began }

// Until returns the end of the pause.
func (h *Health) Until() time.Time { return h.until }

// Take asks for the use of the resource. After a true result the caller reports the result with Trouble or Back, and
// ends the use with Release. After a pause, only one caller at a time gets the resource, as a probe.
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

// Release ends the use of a probe, for any result.
func (h *Health) Release() { h.probing = false }

// Trouble records a failure and starts a pause of at most most. spread varies the length a little, so that resources do
// not come back together. began is the start of the use. Trouble reports whether the resource was healthy before. A use
// that began before the last failure has no effect.
func (h *Health) Trouble(
	err error, began, now time.Time, most time.Duration, spread func(time.Duration) time.Duration,
) (news bool) {
	if !h.Well() && began.Before(h.since) {
		return false
	}
	if news = h.Well(); news {
		h.began = now
	}
	h.rest = min(max(2*h.rest, First), max(most, h.rest))
	h.since, h.until, h.err = now, now.Add(spread(h.rest)), err
	return news
}

// NotBefore makes the pause end at the time at, or later.
func (h *Health) NotBefore(at time.Time) {
	if h.until.Before(at) {
		h.until = at
	}
}

// Back records a success, and reports whether the resource was not healthy before.
func (h *Health) Back() (news bool) {
	news = !h.Well()
	*h = Health{probing: h.probing}
	return news
}

// Wake ends the pause: a probe may start at once.
func (h *Health) Wake(now time.Time) {
	if h.until.After(now) {
		h.until = now
	}
}

// Wait returns the time until Take can succeed; zero: now; negative: not before Release.
func (h *Health) Wait(now time.Time) time.Duration {
	switch {
	case h.Well():
		return 0
	case h.probing:
		return -1
	}
	return max(0, h.until.Sub(now))
}

// A Member is a resource of a Group with its health.
type Member[T any] struct {
	Item T
	Health
}

// Group is a list of equivalent resources, in order of preference.
type Group[T any] []*Member[T]

// Take returns the members that the caller may use now, in order: all healthy members, and members to probe.
func (g Group[T]) Take(now time.Time) (usable []*Member[T]) {
	for _, m := range g {
		if m.Health.Take(now) {
			usable = append(usable, m)
		}
	}
	return usable
}

// Wait returns the time until Take returns a member; zero: now; negative: not before a Release.
func (g Group[T]) Wait(now time.Time) time.Duration {
	wait := time.Duration(-1)
	for _, m := range g {
		if w := m.Health.Wait(now); w >= 0 && (wait < 0 || w < wait) {
			wait = w
		}
	}
	return wait
}

// Wake ends all pauses.
func (g Group[T]) Wake(now time.Time) {
	for _, m := range g {
		m.Health.Wake(now)
	}
}

// Well returns the first healthy member, or nil.
func (g Group[T]) Well() *Member[T] {
	for _, m := range g {
		if m.Health.Well() {
			return m
		}
	}
	return nil
}
