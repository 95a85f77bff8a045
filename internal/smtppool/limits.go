package smtppool

import "time"

const (
	startLimit = 2   // first limit for connections
	fewAllowed = 20  // a higher configured limit means a relay for many connections: the first limit is then the
	manyStart  = 100 // configured limit, or manyStart if lower

	manyGreeted  = 10               // greeted connections after which the relay is one for many connections
	greetingGain = 4                // the limit is then at least as many times the greeted connections
	cutPause     = time.Second      // least time between two cuts of the limit: signs of overload come in bursts
	firstProbe   = time.Minute      // first time until a probe for one connection above the ceiling
	lastProbe    = 30 * time.Minute // longest time until a probe
)

// limits hold the learnt limit for connections.
//
// The limit grows and shrinks like the window of TCP (RFC 5681). At first the limit grows by one for each accepted
// message (slow start), and so doubles in each round trip. A sign of overload halves the limit. From the threshold on,
// the limit grows by one for as many accepted messages as there are connections. After manyGreeted greetings, the limit
// grows with each greeting, three round trips before the first accepted message of the connection. Some relays accept
// only a few connections and say so only after the greeting; such relays have a ceiling before manyGreeted is reached.
type limits struct {
	most      int       // configured limit
	now       int       // learnt limit
	threshold int       // end of slow start
	accepted  int       // accepted messages since the last growth
	cutAt     time.Time // time of the last cut of the limit; zero: none

	setUp bool // a connection was ready for messages

	auto growth // of a limit that is not configured

	ceiling  int           // connections when the relay refused another connection; zero: none refused
	ceilings uint64        // number of refusals that have changed ceiling
	probing  bool          // a connection above the ceiling is in progress
	probeAt  time.Time     // time of the next probe
	wait     time.Duration // time between a refusal and the next probe
}

// newLimits returns limits for a configured limit; with auto, for a limit that may grow to autoMost.
func newLimits(most int, auto bool) limits {
	most = max(most, 1)
	start := min(startLimit, most)
	if most > fewAllowed {
		start = min(most, manyStart)
	}
	return limits{most: most, now: start, threshold: most, auto: growth{on: auto}}
}

// resize changes the configured limit. The learnt limit stays.
func (l *limits) resize(most int, auto bool) {
	most = max(most, 1)
	l.auto = growth{on: auto}
	if l.threshold == l.most { // still in slow start
		l.threshold = most
	}
	l.most, l.now, l.threshold = most, min(l.now, most), min(l.threshold, most)
}

// greeted records a greeting. connections is the number of connections with a greeting. If no limit is configured, the
// connections to a distant relay may grow to autoMost: there every round trip until the end of the growth counts. For
// this one connection must be set up, as some relays refuse after the greeting.
func (l *limits) greeted(connections int, distant bool) {
	top, enough := l.threshold, connections >= manyGreeted
	if l.auto.on && l.setUp && distant && l.cutAt.IsZero() {
		top, enough = autoMost, true
	}
	if enough && l.now < top && l.ceiling == 0 {
		l.now = min(top, max(l.now, greetingGain*connections))
	}
}

// allowed returns the limit for connections: the learnt limit, but at most the ceiling, or one more during a probe.
func (l *limits) allowed(now time.Time) int {
	if l.ceiling == 0 {
		return l.now
	}
	top := l.ceiling
	if l.probing || !now.Before(l.probeAt) {
		top++
	}
	return min(l.now, top)
}

// exceeded reports whether there are more connections than allowed.
func (l *limits) exceeded(r *roster, now time.Time) bool { return r.staying() > l.allowed(now) }

// served records an accepted message. connected is the number of connected sessions: during slow start, the connected
// sessions count for the sessions that are connecting, too, because connecting takes several round trips. A quick relay
// gets no more connections than the usual limit.
func (l *limits) served(connected int, now time.Time, quick bool) {
	top := l.most
	if l.ceiling > 0 {
		top = min(top, l.ceiling+1)
	}
	l.accepted++
	switch {
	case l.auto.on && l.now >= l.most && l.ceiling == 0 && (l.cutAt.IsZero() || now.Sub(l.cutAt) > riseLong):
		if !quick {
			l.now = l.auto.served(l.now, l.most, connected, now)
		}
	case l.now >= top:
	case l.now < l.threshold:
		l.now = min(top, l.now+max(1, l.now/max(1, connected)))
		l.accepted = 0
	case l.accepted >= l.now:
		l.now++
		l.accepted = 0
	}
}

// backOff halves the limit after a sign of overload.
func (l *limits) backOff(now time.Time) {
	if !l.cutAt.IsZero() && now.Sub(l.cutAt) < cutPause {
		return
	}
	l.now = max(1, l.now/2)
	l.threshold, l.accepted, l.cutAt = l.now, 0, now
}

// refused records that the relay refused a connection. others is the number of other connections, at least one: the new
// ceiling.
func (l *limits) refused(others int, now time.Time) {
	switch {
	case l.wait == 0:
		l.wait = firstProbe
	case l.probing:
		l.wait = min(2*l.wait, lastProbe)
	}
	if others != l.ceiling {
		l.ceilings++
	}
	l.ceiling, l.probing, l.probeAt = others, false, now.Add(l.wait)
	l.now = min(l.now, others)
}

// started records that a connection is opened beside others, and reports whether the connection is a probe.
func (l *limits) started(others int) (probe bool) {
	probe = l.ceiling > 0 && others >= l.ceiling
	l.probing = l.probing || probe
	return probe
}

// liftCeiling removes the ceiling after a successful probe.
func (l *limits) liftCeiling() { l.ceiling, l.probing, l.wait = 0, false, 0 }

// unreachable records that the relay accepts no connection. The number of connections accepted later is unknown.
func (l *limits) unreachable(now time.Time) {
	l.ceiling, l.probing = 0, false
	l.backOff(now)
}
