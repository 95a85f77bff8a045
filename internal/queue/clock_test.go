package queue

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/record"
)

const year = 365 * 24 * time.Hour

var clockChanges = map[string]time.Duration{"an hour back": -time.Hour, "a year forward": year, "30 years back": -30 * year}

// clockSpool is a spool whose status file says that the message m was tried a while ago: a@x has accepted it, b@x
// waits.
func clockSpool(t testing.TB, start, enqueued, last, next time.Time) *spool {
	s := newSpool(t, start)
	m := record.New(*headOf(thisVersion), enqueued.Round(0))
	m.Enqueued, m.Attempts = enqueued.Round(0), 1
	m.To[0].Status, m.To[0].LastAttempt = record.Done, last.Round(0)
	m.To[1].Attempts, m.To[1].LastAttempt, m.To[1].NextAttempt = 1, last.Round(0), next.Round(0)
	s.q.Remember("m", m, start)
	return s
}

// turn scans the spool with files of these names, and advances. It returns the number of messages that were given up.
func (s *spool) turn(now time.Time, names ...string) (failed int) {
	s.t.Helper()
	s.list(now, names...)
	for more := true; more; {
		more = s.q.Advance(now, s.room, 100)
		for _, a := range s.q.TakeActs() {
			r := Result{Version: thisVersion}
			switch {
			case a.Kind == Fail:
				failed++
			case a.Kind == Open && a.Known.Holds():
				r.Unchanged, more = true, true
			case a.Kind == Open:
				r.Head, more = s.headFor(a.Name), true
			}
			if a.Kind != Notify && !a.Lazy {
				s.q.Acted(a, r, now)
			}
		}
	}
	inspect(s.t, s.q)
	return failed
}

func TestClockSetWhileTheSpoolRuns(t *testing.T) {
	for name, d := range clockChanges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			now := time.Now()
			s := clockSpool(t, now, now.Add(-time.Hour), now.Add(-time.Minute), now.Add(5*time.Minute))
			is.Equal(s.turn(now, "m"), 0)
			now = now.Add(time.Second) // m is read soon after the start, as b@x waits
			is.Equal(s.turn(now, "m", "new"), 0)
			j := s.next(now)
			is.Equal(j.Name, "new")
			s.q.Finished(j, Finish{Outcomes: []attempt.Outcome{deferral}}, now) // the next attempt is in a minute

			began := now
			at := func(passed time.Duration) time.Time { return set(t, began.Add(passed), d) }
			turn := func(passed time.Duration) int { return s.turn(at(passed), "m", "new") }
			is.Equal(turn(time.Second), 0) // no message is given up
			is.Equal(s.q.Ready(0), 0)      // or tried before its time
			is.Equal(turn(61*time.Second), 0)
			is.Equal(s.q.Ready(0), 1) // the retry of an attempt in this process
			is.Equal(turn(5*time.Minute+time.Second), 0)
			is.Equal(s.q.Ready(0), 2) // the retry of an attempt in the status file
			is.Equal(turn(maxAge-2*time.Hour), 0)
			is.Equal(turn(maxAge), 2) // both messages are too old
			is.Equal(s.q.Len(), 0)
		})
	}
}

func TestClockSetWhileNoDaemonRan(t *testing.T) {
	for name, d := range clockChanges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			real := time.Now()
			now := set(t, real, d)
			s := clockSpool(t, now, real.Add(-time.Hour), real.Add(-time.Minute), real.Add(5*time.Minute))
			is.Equal(s.turn(now, "m"), 0)
			now = now.Add(time.Second)
			is.Equal(s.turn(now, "m"), 0) // no message is given up
			is.Equal(s.q.Ready(0), 1)
			is.Equal(s.next(now).To, []string{"b@x"}) // tried at once, for the recipient that waits
		})
	}
}

// NotBefore is a time of the wall clock: after the clock was set, the new time decides.
func TestNotBeforeFollowsTheClock(t *testing.T) {
	for name, d := range map[string]time.Duration{
		"forward, as when the machine has slept": 8 * time.Hour, "back": -time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			now := time.Now()
			s := clockSpool(t, now, now.Add(-time.Hour), now.Add(-time.Minute), now.Add(3*time.Hour))
			at := now.Add(2 * time.Hour)
			s.notBefore["later"] = at.Add(d).Round(0)
			is.Equal(s.turn(now, "m", "later"), 0)
			is.Equal(s.q.Ready(0), 0)
			before := set(t, at.Add(-time.Second), d)
			is.Equal(s.turn(before, "m", "later"), 0)
			is.Equal(s.q.Ready(0), 0)
			wake, ok := s.q.Wake()
			is.True(ok && wake.Sub(before) <= time.Second)
			is.Equal(s.turn(set(t, at, d), "m", "later"), 0)
			is.Equal(s.q.Ready(0), 1) // m, which is due later, did not delay other
		})
	}
}

// A message with a NotBefore does not delay retries that are due earlier, also after the clock was set back.
func TestNotBeforeHoldsUpNoRetry(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	start := set(t, now, 48*time.Hour) // at the start the clock was two days ahead
	s := clockSpool(t, start, now.Add(-time.Minute), now.Add(-time.Minute), now.Add(5*time.Minute))
	s.notBefore["tomorrow"] = now.Add(24 * time.Hour).Round(0)
	is.Equal(s.turn(now.Add(time.Second), "m", "tomorrow"), 0)
	now = now.Add(2 * time.Second)
	is.Equal(s.turn(now, "m", "tomorrow", "new"), 0)
	for s.q.Ready(0) > 0 {
		// the next attempt is in one or two minutes
		s.q.Finished(s.next(now), Finish{Outcomes: []attempt.Outcome{deferral}}, now)
	}
	is.Equal(s.turn(now.Add(10*time.Minute), "m", "tomorrow", "new"), 0)
	is.Equal(s.q.Ready(0), 2) // m and new
}

// A message that comes after the clock was set has a time of the new clock in the status file.
func TestTimesAfterTheClockWasSetAreThoseOfTheClock(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	s := newSpool(t, set(t, now, -72*time.Hour)) // or the machine has slept for three days
	is.Equal(s.turn(now, "new"), 0)
	s.q.Finished(s.next(now), Finish{Outcomes: []attempt.Outcome{deferral}}, now)
	for n := range s.q.Snapshot(now) {
		is.True(n.Record.Shown().Enqueued.Round(0).Sub(now.Round(0)).Abs() < time.Second)
	}
}

// A message that was ready is not sent if the clock was set back to before its time: there is no job without
// recipients.
func TestNoJobWhenTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	s := newSpool(t, now)
	s.turn(now, "new")
	is.Equal(s.q.Ready(0), 1)
	_, ok := s.q.Next(0, Slots{Any: 1, Large: 1}, now.Add(-time.Hour))
	is.True(!ok)
	is.Equal(s.q.Ready(0), 0)
	at, ok := s.q.Wake()
	is.True(ok)
	is.True(at.Equal(now)) // the time when the message is due
}
