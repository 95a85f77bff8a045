// Package retry is the rule by which a message is tried again, and given up.
package retry

import "time"

// What holds where nothing else is said.
const (
	Attempts = 100                // failed attempts after which a recipient is given up
	MaxAge   = 5 * 24 * time.Hour // age at which a message is given up

	// LastChance is how long a message that has been here before is tried again, however old it looks: no daemon may have
	// run for days, or the clock may be wrong.
	LastChance = 30 * time.Minute
)

// After is the time from the n-th failed attempt, counted from 1, to the next one, give or take a tenth: n minutes, 30 at
// most, as with the 2014 tool.
func After(attempts int) time.Duration {
	return time.Duration(min(max(attempts, 1), 30)) * time.Minute
}

// End is when a message is given up for its age: maxAge after it came or, if that is later, could first be sent
// (notBefore; zero: at once), but not before it has had its last chance since the process saw it (seen; zero: it did not).
// What its sender has set (expire; zero: nothing) counts if it is earlier.
func End(came, notBefore, expire, seen time.Time, maxAge time.Duration) time.Time {
	at := later(came, notBefore).Add(maxAge)
	at = later(at, seen.Add(min(LastChance, maxAge)))
	if !expire.IsZero() && expire.Before(at) {
		return expire
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
