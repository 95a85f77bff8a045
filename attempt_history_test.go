package spoolgore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// The history of a recipient has every attempt, also after restarts and a crash.
func TestHistoryIsCompleteAfterRestartsAndACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := &ledger{answer: func(_, _ string, n int) error {
			switch {
			case n%4 == 0:
				return busyRelay() // counts as no failed attempt, but is in the history
			case n > 20:
				return refused()
			}
			return errLater
		}}
		opts := Options{Transport: relay, Backoff: func(int) time.Duration { return time.Minute }}
		drop(t, dir, "m", simple)
		for range 3 {
			_, stop := start(t, dir, opts)
			pass(3*time.Minute + time.Second/2)
			stop()
		}
		_, stop := start(t, dir, opts)
		pass(3*time.Minute + 30*time.Second)
		dir = crash(t, dir, stop)
		s, stop := start(t, dir, opts)
		pass(time.Second)
		history := one(t, s.Status()).To[0].History
		is.Equal(history.Times, relay.tries("m", "b@example.org")) // every attempt that the relay has got
		pass(time.Hour)
		stop()
		history = whyFile(t, dir, "m").To[0].History
		is.Equal(history.Times, relay.tries("m", "b@example.org"))
		is.Equal(history.Runs[0].Times, 3)
		is.Equal(history.Runs[1].Error, busyRelay().Error())
		is.Equal(history.Runs[len(history.Runs)-1].Error, refused().Error())
	})
}
