package record

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
)

// Recipients with the same outcome are retried at the same time, although each call of Backoff returns another time.
func TestRetryKeepsRecipientsTogether(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{Enqueued: start}
	for _, a := range []string{"b@y", "c@y", "d@y", "e@y"} {
		m.To = append(m.To, Recipient{Address: a, Status: Waiting})
	}
	calls := 0
	rule := Rule{MaxAttempts: 9, Backoff: func(int) time.Duration { calls++; return time.Minute + time.Duration(calls)*time.Second }}
	later := attempt.Outcome{Fault: attempt.Recipient, Err: errLater}
	undecided := later
	undecided.Undecided, undecided.Uncounted = true, true
	to := m.Start(start, nil)
	m.Apply(to, []attempt.Outcome{later, later, undecided, undecided}, rule, start)
	is.Equal(m.To[0].NextAttempt, m.To[1].NextAttempt)
	is.Equal(m.To[2].NextAttempt, m.To[3].NextAttempt)
	is.Equal(m.To[0].Attempts, 1)
	is.Equal(m.To[2].Attempts, 0) // no attempt is counted
}

func TestUndecidedRefusalIsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		age       time.Duration
		throttled bool
		counted   bool
		pause     time.Duration
		attempts  int
	}{
		"new":                {0, false, false, time.Minute, 0},
		"an hour old":        {time.Hour, false, false, 6 * time.Minute, 0},
		"a day old":          {24 * time.Hour, false, false, undecidedMost, 0},
		"throttled":          {24 * time.Hour, true, false, throttledMost, 0},
		"throttled, new":     {0, true, false, throttledPause, 0},
		"other mail got out": {0, false, true, time.Minute, 1},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			m := &Message{Enqueued: start.Add(-tt.age)}
			m.To = append(m.To, Recipient{Address: "b@y", Status: Waiting})
			rule := Rule{MaxAttempts: 2, Backoff: func(n int) time.Duration { return time.Duration(n) * time.Minute }}
			o := attempt.Outcome{Fault: attempt.Message, Err: errLater, Undecided: true, Throttled: tt.throttled, Uncounted: !tt.counted}
			changes := m.Apply(m.Start(start, nil), []attempt.Outcome{o}, rule, start)
			is.Equal(changes[0].Decision, Deferred)
			is.Equal(m.To[0].NextAttempt.Sub(start), tt.pause)
			is.Equal(m.To[0].Attempts, tt.attempts)
			is.Equal(m.Attempts, tt.attempts)
			is.Equal(m.To[0].Error, errLater.Error())
		})
	}
}
