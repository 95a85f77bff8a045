package ratelimit

import (
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestParse(t *testing.T) {
	is := is.New(t)
	limits, err := Parse(" 14/s, 600/m ,50000/d,7/h")
	is.NoErr(err)
	is.Equal(limits, []Limit{{14, time.Second}, {600, time.Minute}, {50000, 24 * time.Hour}, {7, time.Hour}})
	is.Equal(limits[2].String(), "50000/d")
	none, err := Parse("")
	is.NoErr(err)
	is.Equal(len(none), 0)
	for _, bad := range []string{"14", "14/w", "/s", "0/s", "-1/s", "1.5/s", "1/s,", "x/s", "1/s/m"} {
		_, err := Parse(bad)
		is.True(err != nil) // a mistake is an error, and not an empty limit
	}
}

// send returns the times at which a busy sender may send, in steps of n recipients.
func send(q *Quota, n int, from time.Time, d time.Duration) (times []time.Time) {
	for now := from; now.Before(from.Add(d)); {
		if wait := q.Wait(n, now); wait > 0 {
			now = now.Add(wait)
			continue
		}
		q.Spend(n, now)
		for range n {
			times = append(times, now)
		}
	}
	return times
}

// most returns the largest number of times within any period.
func most(times []time.Time, per time.Duration) (n int) {
	for i, j := 0, 0; j < len(times); j++ {
		for times[j].Sub(times[i]) >= per {
			i++
		}
		n = max(n, j-i+1)
	}
	return n
}

func TestNeverMoreThanTheLimitInAnyPeriod(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, limits := range []string{"1/s", "14/s", "100/m", "14/s,300/m", "30/s,500/m,2000/h", "3000/d"} {
		for _, n := range []int{1, 2} {
			t.Run(limits, func(t *testing.T) {
				is := is.New(t)
				ls, err := Parse(limits)
				is.NoErr(err)
				q, err := New(ls, nil, start)
				is.NoErr(err)
				longest := ls[len(ls)-1]
				times := send(q, n, start, 3*longest.Per)
				for _, l := range ls {
					// also at the start, and across the border of two periods
					is.True(most(times, l.Per) <= max(l.N, n))
				}
				is.True(len(times) >= 2*longest.N*8/10) // and most of the limit is used
			})
		}
	}
}

func TestAllAtOnceIfNoneWasUsed(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, text := range []string{"100/d", "30/h", "25/m", "1/s", "100/h,1000/h"} {
		limits, err := Parse(text)
		is.NoErr(err)
		q, err := New(limits, nil, now)
		is.NoErr(err)
		l := limits[0]
		is.Equal(len(send(q, 1, now, l.Per/2)), l.N) // the whole limit at once, and no more
		wait := q.Wait(1, now)
		is.True(wait >= l.Per && wait <= l.Per*102/100) // until the period is over, at most a hundredth later
		is.True(q.Forecast(l.N+1, now) >= l.Per && q.Forecast(3*l.N, now) < 4*l.Per)
	}
}

func TestRateHoldsAcrossRestarts(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limits, err := Parse("1000/d")
	is.NoErr(err)
	var state []byte
	sent := 0
	for range 100 { // a restart every minute, always busy
		q, err := New(limits, state, now)
		is.NoErr(err)
		sent += len(send(q, 7, now, time.Minute))
		now = now.Add(time.Minute)
		state, err = q.State(now)
		is.NoErr(err)
	}
	is.Equal(sent, 994)
	q, err := New(limits, state, now.Add(-48*time.Hour))
	is.NoErr(err)
	is.True(q.Wait(7, now.Add(-48*time.Hour)) > 22*time.Hour) // also if the clock is set back
	_, err = New(limits, []byte("{"), now)
	is.True(err != nil) // a damaged state is an error
}

func TestChangedLimitKeepsWhatWasSpent(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for change, c := range map[string]struct {
		spent int
		waits bool // the next recipient has to wait
	}{
		"1000/d 2000/d":      {1000, false},
		"2000/d 1000/d":      {1000, true},
		"1000/d 10/d":        {100, true},
		"1000/d 14/s":        {1000, false}, // a limit with another period is another limit
		"1000/d 14/s,1000/d": {1000, true},
		"50/s,60/m 60/m":     {60, true},
		"100/h,1000/h 200/h": {100, false},
	} {
		t.Run(change, func(t *testing.T) {
			is := is.New(t)
			before, after, _ := strings.Cut(change, " ")
			was, err := Parse(before)
			is.NoErr(err)
			q, err := New(was, nil, now)
			is.NoErr(err)
			q.Spend(c.spent, now)
			state, err := q.State(now)
			is.NoErr(err)
			limits, err := Parse(after)
			is.NoErr(err)
			q, err = New(limits, state, now)
			is.NoErr(err)
			wait := q.Wait(1, now)
			is.Equal(wait > 0, c.waits)
			is.True(wait <= limits[len(limits)-1].Per*102/100)
		})
	}
}

func TestMoreRecipientsThanTheLimit(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limits, err := Parse("60/m")
	is.NoErr(err)
	q, err := New(limits, nil, now)
	is.NoErr(err)
	is.Equal(q.Wait(100, now), time.Duration(0)) // more than the limit in one message are allowed
	q.Spend(100, now)
	is.True(q.Wait(21, now) > time.Minute*3/2) // the messages after them wait for the second period
	is.True(q.Wait(20, now) < time.Minute*3/2)
}

func TestRefund(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limits, err := Parse("10/m")
	is.NoErr(err)
	q, err := New(limits, nil, now)
	is.NoErr(err)
	q.Spend(10, now)
	is.True(q.Wait(1, now) > 0)
	q.Refund(4, now) // the relay was down
	is.Equal(q.Wait(4, now), time.Duration(0))
	is.True(q.Wait(5, now) > 0)
}

// A message with more recipients than the limit is spent over several periods, and taken back in all of them: it may be
// tried often while the relay is down.
func TestRefundOfMoreThanTheLimit(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limits, err := Parse("500/d,100/h")
	is.NoErr(err)
	q, err := New(limits, nil, now)
	is.NoErr(err)
	q.Spend(3, now)
	for range 20 {
		q.Spend(1200, now)
		q.Refund(1200, now)
	}
	for d := time.Duration(0); d < 72*time.Hour; d += 30 * time.Minute {
		is.Equal(q.Wait(97, now.Add(d)), time.Duration(0)) // only three are spent
	}
}

// The state of version 1 had the tokens left in a bucket.
func TestStateOfVersion1(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limits, err := Parse("100/d")
	is.NoErr(err)
	q, err := New(limits, []byte(`{"100/d": {"Tokens": -20, "At": "2025-12-31T23:00:00Z"}}`), now)
	is.NoErr(err)
	is.Equal(q.Wait(70, now), time.Duration(0)) // 30 tokens were spent
	is.True(q.Wait(71, now) > 0)
}
