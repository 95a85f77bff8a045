package smtppool

import (
	"testing"
	"time"

	"github.com/matryer/is"
)

// paceClock drives a pace with messages that get a reply at once.
type paceClock struct {
	pace
	now time.Time
}

func newPaceClock() *paceClock { return &paceClock{now: time.Unix(1e9, 0)} }

// send sends a message as soon as the pace allows it.
func (c *paceClock) send(accept, throttled bool) {
	if c.waits(c.now) {
		c.now = c.until
	}
	taken := c.now
	c.take(taken)
	c.now = c.now.Add(time.Millisecond)
	if accept {
		c.serve(taken, c.now)
	} else {
		c.refuse(taken, c.now, throttled, "454 slow down")
	}
}

func (c *paceClock) sendAll(n int, accept, throttled bool) {
	for range n {
		c.send(accept, throttled)
	}
}

// rate returns the pace in messages per second; zero: no limit.
func (c *paceClock) rate() float64 {
	if c.interval == 0 {
		return 0
	}
	return float64(time.Second) / float64(c.interval)
}

func TestAcceptanceOfAnOlderMessageIsNoRecovery(t *testing.T) {
	is := is.New(t)
	c := newPaceClock()
	c.sendAll(14, true, false)
	taken := c.now
	c.sendAll(3, false, true)
	is.True(c.waits(c.now)) // the pause has begun
	until := c.until
	for range 5 {
		c.serve(taken, c.now) // sent before the refusals, accepted later
	}
	is.Equal(c.until, until)               // the pause goes on
	is.Equal(c.row, severalRefused)        // the refusals still count
	is.Equal(c.interval, time.Duration(0)) // and no rate was measured
}

func TestEventsAtOneTimeOfTheClockKeepTheirOrder(t *testing.T) {
	is := is.New(t)
	c := newPaceClock()
	for range 20 { // messages of one sender are refused, messages of another sender are accepted
		c.refuse(c.stamp(c.now), c.stamp(c.now), true, "450 4.7.1 rate limit exceeded")
		c.serve(c.stamp(c.now), c.stamp(c.now))
	}
	is.Equal(c.row, 0)
	is.Equal(c.slow(c.now), false)
	is.True(c.stamped.Sub(c.now) < time.Microsecond)
	c.now = c.now.Add(time.Second)
	is.Equal(c.stamp(c.now), c.now) // a new time is used unchanged
}

func TestPaceAfterAQuietWeek(t *testing.T) {
	is := is.New(t)
	c := newPaceClock()
	for range 7 * 24 {
		c.send(true, false)
		c.now = c.now.Add(time.Hour)
	}
	for range 3 { // 14 messages within some seconds
		c.sendAll(14, true, false)
		c.sendAll(4, false, true)
	}
	c.send(true, false)
	is.True(c.rate() > 1 && c.rate() < 20) // the hours with one message have no effect
}

func TestRelayThatIsWellAgainIsNotLimited(t *testing.T) {
	for _, throttled := range []bool{false, true} {
		is := is.New(t)
		c := newPaceClock()
		c.sendAll(5, true, false)
		c.sendAll(20, false, throttled)
		down := c.now
		for c.sendAll(3, true, false); c.rate() > 0 && c.now.Sub(down) < time.Hour; {
			c.send(true, false)
		}
		is.Equal(c.rate(), 0.0)                  // no limit after the probe
		is.True(c.now.Sub(down) < 5*time.Minute) // the probe ends soon
		is.Equal(c.slow(c.now), false)
	}
}

func TestRelayOfABucketIsPacedByWhatItRefills(t *testing.T) {
	is := is.New(t)
	c := newPaceClock()
	tokens, last := 100.0, c.now
	refused, accepted := 0, 0
	for range 400 {
		if c.waits(c.now) {
			c.now = c.until
		}
		tokens = min(100, tokens+5*c.now.Sub(last).Seconds())
		last = c.now
		if ok := tokens >= 1; ok {
			tokens--
			accepted++
			c.send(true, false)
		} else {
			refused++
			c.send(false, true)
		}
	}
	is.True(refused < 40)                 // few refusals
	is.True(c.rate() > 4 && c.rate() < 6) // five messages a second
}
