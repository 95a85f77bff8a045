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
		is.True(err != nil) // a mistake is told, not taken for no limit
	}
}

// send counts what a busy sender gets through in steps of n recipients, in each period.
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

// most is the largest number of times within any period.
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
					is.True(most(times, l.Per) <= l.N+n) // not even at the start, and over the edge of a period
				}
				is.True(len(times) >= 2*longest.N*8/10) // and the limit is made use of
			})
		}
	}
}

func TestARestartIsNoWayAround(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limits, err := Parse("1000/d")
	is.NoErr(err)
	var state []byte
	sent := 0
	for range 100 { // restarted every minute, busy all the time
		q, err := New(limits, state, now)
		is.NoErr(err)
		sent += len(send(q, 1, now, time.Minute))
		now = now.Add(time.Minute)
		state, err = q.State(now)
		is.NoErr(err)
	}
	is.True(sent <= 100+1000*100/(24*60)+100) // a tenth at once, and what 100 minutes bring: rounding costs less than one a restart
	is.True(sent >= 100)
	q, err := New(limits, state, now.Add(-48*time.Hour))
	is.NoErr(err)
	is.True(q.Wait(100, now.Add(-48*time.Hour)) > 0) // nor is setting the clock back
	_, err = New(limits, []byte("{"), now)
	is.True(err != nil) // a state that cannot be read is an error
}

func TestAnotherLimitIsNoWayAround(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for change, c := range map[string]struct {
		spent          int
		least, longest time.Duration // what the next one waits for
	}{
		"1000/d 2000/d":      {100, 0, 0},                                       // 100 of 200 are left
		"1000/d 1500/d":      {100, 0, 0},                                       // 50 of 150
		"2000/d 1000/d":      {200, 2 * time.Hour, 3 * time.Hour},               // 100 too many: they come back at 900 a day
		"1000/d 10/d":        {100, 20 * time.Hour, 24*time.Hour + time.Second}, // never longer than the period
		"1000/d 14/s":        {100, 0, 0},                                       // another period is another limit
		"1000/d 14/s,1000/d": {100, time.Minute, 2 * time.Minute},               // the one that was there goes on
		"60/m 60/m":          {1000, 16 * time.Minute, time.Hour},               // as does one in debt
		"50/s,60/m 60/m":     {6, 0, 2 * time.Second},                           //
		"100/h,1000/h 200/h": {100, 20 * time.Minute, 30 * time.Minute},         // the one of which more was spent counts
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
			is.True(wait >= c.least && wait <= c.longest) // as long as what was spent says
		})
	}
}

func TestMoreRecipientsThanTheBucketHolds(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limits, err := Parse("60/m")
	is.NoErr(err)
	q, err := New(limits, nil, now)
	is.NoErr(err)
	is.Equal(q.Wait(100, now), time.Duration(0)) // they go,
	q.Spend(100, now)
	is.True(q.Wait(1, now) > 100*time.Second) // and those after them wait for it
}
