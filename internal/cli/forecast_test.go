package cli

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/ratelimit"
)

// A forecast is right within a factor of two. There is none while no relay can be used.
func TestForecast(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	well, down := daemonstate.Relay{Name: "a"}, daemonstate.Relay{Name: "b", Trouble: "auth: 535 no"}
	slow := daemonstate.Relay{Name: "c", Pace: 6, Reply: "454 4.7.0 throttled"}
	for name, test := range map[string]struct {
		waiting int
		rate    string
		spent   int // messages just sent, by the rate limit
		next    time.Duration
		state   daemonstate.State
		want    time.Duration
	}{
		"speed":               {waiting: 120, state: daemonstate.State{Speed: 60, PerMinute: 2}, want: 2 * time.Minute},
		"old state":           {waiting: 120, state: daemonstate.State{PerMinute: 60}, want: 2 * time.Minute},
		"one relay":           {waiting: 120, state: daemonstate.State{Speed: 60, Relays: []daemonstate.Relay{well, down}}, want: 2 * time.Minute},
		"no relay":            {waiting: 120, state: daemonstate.State{Speed: 60, Relays: []daemonstate.Relay{down, down}}},
		"paused":              {waiting: 120, state: daemonstate.State{Speed: 60, Paused: true}},
		"empty":               {next: time.Hour, state: daemonstate.State{Speed: 60}},
		"slow relay":          {waiting: 120, state: daemonstate.State{Speed: 600, Relays: []daemonstate.Relay{slow}}, want: 20 * time.Minute},
		"slow and free":       {waiting: 120, state: daemonstate.State{Speed: 60, Relays: []daemonstate.Relay{slow, well}}, want: 2 * time.Minute},
		"retry":               {waiting: 120, next: time.Hour, state: daemonstate.State{Speed: 60}, want: time.Hour},
		"within the limit":    {waiting: 100, rate: "500/d", spent: 200, state: daemonstate.State{Speed: 600}, want: 10 * time.Second},
		"above the limit":     {waiting: 600, rate: "500/d", spent: 200, state: daemonstate.State{Speed: 600}, want: 24 * time.Hour},
		"two periods":         {waiting: 1100, rate: "500/d", spent: 500, state: daemonstate.State{Speed: 600}, want: 72 * time.Hour},
		"two limits":          {waiting: 1000, rate: "10/m,100000/d", state: daemonstate.State{Speed: 600}, want: 100 * time.Minute},
		"nothing sent so far": {waiting: 30, rate: "20/h", state: daemonstate.State{}, want: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			limits, err := ratelimit.Parse(test.rate)
			is.NoErr(err)
			quota, err := ratelimit.New(limits, nil, now)
			is.NoErr(err)
			quota.Spend(test.spent, now)
			w := waitingMail{recipients: test.waiting, quota: quota}
			if test.next > 0 {
				w.last = now.Add(test.next)
			}
			got := w.forecast(&test.state, now)
			t.Log(got)
			is.True(got >= test.want*2/3 && got <= test.want*3/2)
		})
	}
}
