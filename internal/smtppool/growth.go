package smtppool

import "time"

const (
	autoMost   = 100              // limit for connections that auto does not exceed
	riseNeeded = 0.4              // growth of the rate that is needed, as a part of the growth of the limit
	riseFirst  = 1                // messages per connection before a measurement of the rate: new connections begin
	riseRound  = 3                // messages per connection in a measurement
	riseRest   = time.Minute      // first time without growth after a growth that did not pay
	riseLong   = 30 * time.Minute // longest such time
)

// growth decides how far the limit for connections may grow beyond the usual limit, if no limit is configured. The
// limit doubles while the relay accepts all connections and each growth makes more messages per second. The limit falls
// back to the level before if the rate does not rise. A relay that refuses a connection or is overloaded ends the
// growth; see limits.
type growth struct {
	on     bool
	before int           // limit before the last growth; zero: there was none
	rate   float64       // messages per second at that limit
	count  int           // messages since all connections are there
	began  time.Time     // of the measurement
	wait   time.Duration // between a growth that did not pay and the next growth
	until  time.Time     // no growth before
}

// served records an accepted message while the limit is limit and connected sessions have a connection. It returns the
// new limit, between usual and autoMost.
func (g *growth) served(limit, usual, connected int, now time.Time) int {
	if connected < limit || now.Before(g.until) {
		g.count = 0
		return limit
	}
	if g.count++; g.count == riseFirst*limit {
		g.began = now
	}
	if g.count < (riseFirst+riseRound)*limit {
		return limit
	}
	rate := float64(riseRound*limit) / max(now.Sub(g.began), time.Millisecond).Seconds()
	g.count = 0
	if g.before > 0 && rate/g.rate-1 < riseNeeded*(float64(limit)/float64(g.before)-1) {
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
	return min(autoMost, 2*limit)
}
