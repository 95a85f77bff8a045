package smtppool

import "time"

const (
	autoMost   = 100              // limit for connections that auto does not exceed
	riseNeeded = 1.15             // a growth must make the rate grow at least so much
	riseRound  = 2                // messages per connection in a measurement of the rate
	riseRest   = time.Minute      // first time without growth after a growth that did not pay
	riseLong   = 30 * time.Minute // longest such time
)

// growth decides how far the limit for connections may grow beyond the usual limit, if no limit is configured. The
// limit grows by a half while the relay accepts all connections and each growth makes more messages per second. The
// limit falls back to the level before if the rate does not rise. A relay that refuses a connection or is overloaded
// ends the growth; see limits.
type growth struct {
	on     bool
	before int           // limit before the last growth; zero: there was none
	rate   float64       // messages per second at that limit
	count  int           // messages of the measurement
	began  time.Time     // of the measurement; zero: not all connections are there
	wait   time.Duration // between a growth that did not pay and the next growth
	until  time.Time     // no growth before
}

// served records an accepted message while the limit is limit and connected sessions have a connection. It returns the
// new limit, between usual and autoMost.
func (g *growth) served(limit, usual, connected int, now time.Time) int {
	if connected < limit || now.Before(g.until) {
		g.began, g.count = time.Time{}, 0
		return limit
	}
	if g.began.IsZero() {
		g.began = now
		return limit
	}
	if g.count++; g.count < riseRound*limit {
		return limit
	}
	rate := float64(g.count) / max(now.Sub(g.began), time.Millisecond).Seconds()
	g.began, g.count = time.Time{}, 0
	if g.before > 0 && rate < g.rate*riseNeeded {
		fallback := g.before
		g.wait = min(max(2*g.wait, riseRest), riseLong)
		g.before, g.rate, g.until = 0, 0, now.Add(g.wait)
		return max(fallback, usual)
	}
	if limit >= autoMost {
		g.before, g.rate = 0, 0
		g.until = now.Add(riseLong) // there is no more
		return limit
	}
	g.before, g.rate = limit, rate
	return min(autoMost, limit+(limit+1)/2)
}
