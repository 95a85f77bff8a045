package spoolgore

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
)

// longestRetry is the longest interval of the retry rule, with its jitter.
const longestRetry = 33 * time.Minute

// queuedAhead puts a message into a spool while the clock is ahead, and stops the daemon before the first attempt. Each
// call of known.Bubble has a bubble that begins at the same time, so the next bubble has the right clock.
func queuedAhead(t *testing.T, dir string, ahead time.Duration) {
	t.Helper()
	seen := known.Bubble(func(t *testing.T) error {
		time.Sleep(ahead)
		// Another message takes the only connection, so that this message is queued and not offered.
		silent := TransportFunc(func(ctx context.Context, tx *Transaction) []Result {
			<-ctx.Done()
			return []Result{{Err: &DeliveryError{Fault: FaultNone, Err: ctx.Err()}}}
		})
		drop(t, dir, "first", to("first@x.org"))
		s, stop := start(t, dir, Options{Transport: silent, Concurrency: 1})
		pass(10 * time.Second)
		drop(t, dir, "m", named)
		pass(time.Minute)
		if m, ok := s.Status()[filepath.Join(dir, "m")]; !ok || m.Attempts > 0 {
			t.Fatal("the message is not queued, or was tried")
		}
		stop()
		return nil
	})(t)
	check(t, seen)
}

func TestClockPutRightDoesNotDelayMessage(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F4/waits", func(t *testing.T) error {
		dir := t.TempDir()
		queuedAhead(t, dir, 24*time.Hour)
		return known.Bubble(func(t *testing.T) error {
			relay := &ledger{}
			_, stop := start(t, dir, Options{Transport: relay})
			pass(longestRetry)
			stop()
			if relay.tries("", "a@x.org") == 0 {
				return fmt.Errorf("the message was not tried within %v", longestRetry)
			}
			return nil
		})(t)
	})
}

func TestClockPutRightGivesNothingUpUntried(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F4/given-up-untried", func(t *testing.T) error {
		dir := t.TempDir()
		queuedAhead(t, dir, year)
		return known.Bubble(func(t *testing.T) error {
			relay := &ledger{}
			_, stop := start(t, dir, Options{Transport: relay, Freq: time.Hour})
			pass(10 * 24 * time.Hour)
			stop()
			if relay.tries("", "a@x.org") == 0 {
				return fmt.Errorf("the message was not tried within ten days; in failed/ %v",
					exists(dir, "failed", "m"))
			}
			return nil
		})(t)
	})
}

// Drain in runs that are shorter than half an hour, as cron does with -once.
func TestDrainGivesUpByAgeAcrossRuns(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F11", known.Bubble(func(t *testing.T) error {
		dir := t.TempDir()
		relay := &ledger{answer: func(string, string, int) error { return busyRelay() }}
		drop(t, dir, "m", named)
		const maxAge, span, every = 3 * time.Hour, 10 * time.Hour, 20 * time.Minute
		for range span / every {
			s := New(dir, exact(Options{Transport: relay, MaxAge: maxAge}))
			s.opts.Watch = WatchOff
			_ = s.Drain(t.Context())
			time.Sleep(every)
		}
		if !exists(dir, "failed", "m") {
			return fmt.Errorf("after %v of Drain every %v with MaxAge %v the message is not given up; tried %d times",
				span, every, maxAge, relay.tries("m", "a@x.org"))
		}
		return nil
	}))
}
