// Package retry decides when the next attempt for a message is, and when a message is given up.
package retry

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Defaults.
const (
	Attempts = math.MaxInt32      // no limit: the age decides
	MaxAge   = 5 * 24 * time.Hour // age at which a message is given up

	// LastChance is the minimum time from the first look of this process at a message until the message is given up for
	// its age: perhaps no daemon ran for days, or the clock is wrong.
	LastChance = 30 * time.Minute
)

// After returns the pause after the n-th failed attempt, counted from 1: n minutes, at most 30, as in the tool of 2014.
// The caller varies the pause by up to a tenth.
func After(attempts int) time.Duration {
	return time.Duration(min(max(attempts, 1), 30)) * time.Minute
}

// End returns the time when a message is given up for its age. That is maxAge after the arrival (came) or, if later,
// after the time of the first possible attempt (notBefore; zero: at once). The message also gets LastChance after the
// process first saw it (seen; zero: never). A limit of the sender (expire; zero: none) counts if it is earlier.
func End(came, notBefore, expire, seen time.Time, maxAge time.Duration) time.Time {
	at := Later(came, notBefore).Add(maxAge)
	at = Later(at, seen.Add(min(LastChance, maxAge)))
	if !expire.IsZero() && expire.Before(at) {
		return expire
	}
	return at
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// maxPauses is the maximum number of pauses in a schedule.
const maxPauses = 10_000

// Parse parses a schedule such as "1m,5m*2,1h*3": pauses after the first, the second ... failed attempt. "*N" repeats a
// pause. The last pause holds for all further attempts. Parse returns the pause after the n-th failed attempt.
func Parse(schedule string) (after func(attempts int) time.Duration, err error) {
	var pauses []time.Duration
	for part := range strings.SplitSeq(schedule, ",") {
		text, times, repeated := strings.Cut(strings.TrimSpace(part), "*")
		pause, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil || pause <= 0 {
			return nil, fmt.Errorf("%q is not a pause, such as 90s, 5m or 1h", part)
		}
		n := 1
		if repeated {
			if n, err = strconv.Atoi(strings.TrimSpace(times)); err != nil || n < 1 {
				return nil, fmt.Errorf("%q is not a pause, *, and a number above 0", part)
			}
		}
		if len(pauses)+n > maxPauses {
			return nil, errors.New("the schedule has too many pauses")
		}
		for range n {
			pauses = append(pauses, pause)
		}
	}
	return func(attempts int) time.Duration { return pauses[min(max(attempts, 1), len(pauses))-1] }, nil
}
