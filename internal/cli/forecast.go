package cli

import (
	"time"

	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/ratelimit"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// waitingMail is the mail of which a forecast says when all is sent.
type waitingMail struct {
	recipients int
	last       time.Time        // latest time of a next attempt; zero: all are due
	quota      *ratelimit.Quota // nil: no limit, or the count is not known
}

// quota returns the count of the rate limits of a daemon, or nil.
func (c *spool) quota(d *daemonstate.State) *ratelimit.Quota {
	limits, err := ratelimit.Parse(d.Rate)
	if err != nil || len(limits) == 0 {
		return nil
	}
	text := c.spent()
	q, err := ratelimit.New(limits, text, c.now)
	if err != nil {
		return nil
	}
	return q
}

// spent returns the stored count of the rate limits; empty: nothing was spent.
func (c *spool) spent() []byte {
	if c.queue != nil {
		return c.queue.Spent()
	}
	text, _ := spooldir.ReadOn(c.dir.FS(), c.dir.File(spooldir.RateFile)) // without a file nothing was spent
	return text
}

// forecast returns the time until all waiting recipients are sent to. The speed of the last minutes, the pace of relays
// that asked for less mail, the rate limits and the times of the next attempts decide. Zero: unknown, for instance
// because no relay can be used.
func (w waitingMail) forecast(d *daemonstate.State, now time.Time) (left time.Duration) {
	speed, usable := speedOf(d)
	if w.recipients == 0 || d.Paused || !usable {
		return 0
	}
	if speed > 0 {
		left = time.Duration(float64(w.recipients) / speed * float64(time.Minute))
	}
	limited := time.Duration(0)
	if w.quota != nil {
		limited = w.quota.Forecast(w.recipients, now)
	}
	if d.RateWait.After(now) {
		limited = max(limited, d.RateWait.Sub(now))
	}
	left = max(left, limited)
	if left > 0 && w.last.After(now) {
		left = max(left, w.last.Sub(now))
	}
	return left
}

// speedOf returns the recipients a minute that a daemon can send to; zero: not known. usable is false if no relay can
// be used.
func speedOf(d *daemonstate.State) (speed float64, usable bool) {
	pace, free := 0.0, len(d.Relays) == 0
	for _, r := range d.Relays {
		if r.Trouble == "" {
			usable = true
			pace += r.Pace
			free = free || r.Pace == 0
		}
	}
	speed = d.Speed
	if speed == 0 {
		speed = d.PerMinute
	}
	if !free && (speed == 0 || pace < speed) {
		speed = pace
	}
	return speed, usable || len(d.Relays) == 0
}
