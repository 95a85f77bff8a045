package smarthost

import "time"

const (
	startLimit = 2   // connections at first
	fewAsked   = 20  // who allows more knows a relay that bears many, and so begins with
	manyAsked  = 100 // as many as are allowed, up to so many

	manyWelcome = 10               // connections that show that the relay does not bear a handful only
	welcomeGain = 4                // times as many as it has welcomed then
	cutPause    = time.Second      // between two cuts of the limit: what comes together is one sign
	firstProbe  = time.Minute      // until one connection more is tried than the relay took
	lastProbe   = 30 * time.Minute // longest time between two such tries
	firstPause  = time.Second      // after "too fast"
	lastPause   = time.Minute
)

// limits is what is known of how much a relay bears: how many connections, and whether it wants a pause. The number of
// connections grows and shrinks as the window of TCP does (RFC 5681): by one for each accepted message at first, which
// doubles it every round trip; halved at each sign of trouble, and from half of where that was on by one for as many
// messages as there may be connections. Where the settings allow many it starts with them, a hundred at most, as who asks for more
// than is usual knows what his relay bears. One that has welcomed many is not one of those that bear a few and say so only later: then it
// grows fourfold with every greeting, which comes three round trips earlier.
type limits struct {
	most      int // what the settings allow
	now       int // what the relay seems to bear
	threshold int // of now: fast growth ends here
	accepted  int // messages since now has grown
	cutAt     time.Time

	ceiling int // connections that there were when one more was refused; zero: that did not happen
	probing bool
	probeAt time.Time
	wait    time.Duration // from a refusal to the next probe

	pause   time.Duration // the last one; zero: the relay is content
	until   time.Time
	suspect bool // the last word was a recipient refused as too fast
}

func newLimits(most int) limits {
	most = max(most, 1)
	start := min(startLimit, most)
	if most > fewAsked {
		start = min(most, manyAsked)
	}
	return limits{most: most, now: start, threshold: most}
}

// resize notes that the settings allow so many connections from now on. What the relay has shown of itself stays known.
func (l *limits) resize(most int) {
	most = max(most, 1)
	if l.threshold == l.most { // nothing has slowed its growth yet
		l.threshold = most
	}
	l.most, l.now, l.threshold = most, min(l.now, most), min(l.threshold, most)
}

// welcomed notes that the relay has greeted a connection, so that there are so many now.
func (l *limits) welcomed(connections int) {
	if connections >= manyWelcome && l.now < l.threshold && l.ceiling == 0 {
		l.now = min(l.threshold, max(l.now, welcomeGain*connections))
	}
}

// allowed is how many connections there may be: one more than the ceiling while that is probed.
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

// served notes that a message, taken at that time, was accepted, while so many connections were at work: to connect
// takes several round trips, and while some are at it the others count for them.
func (l *limits) served(taken time.Time, working int) {
	l.suspect = false
	if !taken.Before(l.until) {
		l.pause = 0
	}
	top := l.most
	if l.ceiling > 0 {
		top = min(top, l.ceiling+1)
	}
	l.accepted++
	switch {
	case l.now >= top:
	case l.now < l.threshold:
		l.now = min(top, l.now+max(1, l.now/max(1, working)))
		l.accepted = 0
	case l.accepted >= l.now:
		l.now++
		l.accepted = 0
	}
}

// strained notes a sign of trouble.
func (l *limits) strained(now time.Time) {
	if !l.cutAt.IsZero() && now.Sub(l.cutAt) < cutPause {
		return
	}
	l.now = max(1, l.now/2)
	l.threshold, l.accepted, l.cutAt = l.now, 0, now
}

// refused notes that the relay did not want another connection beside the others that there are, at least one.
func (l *limits) refused(others int, now time.Time) {
	switch {
	case l.wait == 0:
		l.wait = firstProbe
	case l.probing:
		l.wait = min(2*l.wait, lastProbe)
	}
	l.ceiling, l.probing, l.probeAt = others, false, now.Add(l.wait)
	l.now = min(l.now, others)
}

// started notes that a connection is made beside the others that there are, and reports whether it is a probe.
func (l *limits) started(others int) (probe bool) {
	probe = l.ceiling > 0 && others >= l.ceiling
	l.probing = l.probing || probe
	return probe
}

// lift notes that a probe has shown that the relay bears more than the ceiling.
func (l *limits) lift() { l.ceiling, l.probing, l.wait = 0, false, 0 }

// down notes that the relay takes no connection at all, which tells nothing about how many it takes when it is up.
func (l *limits) down(now time.Time) {
	l.ceiling, l.probing = 0, false
	l.strained(now)
}

// tooFast notes that the relay refused a message, taken at that time, as one too many, and returns for how long there
// shall be a pause; zero: none, because the message was on its way before the last pause, or because it may well be about
// the recipient alone: greylisting looks the same. Then it takes two without an accepted message between them.
func (l *limits) tooFast(taken, now time.Time, recipient bool) time.Duration {
	if taken.Before(l.until) {
		return 0
	}
	if recipient && !l.suspect {
		l.suspect = true
		return 0
	}
	l.pause = min(max(2*l.pause, firstPause), lastPause)
	l.until = now.Add(l.pause)
	l.strained(now)
	return l.pause
}

// paused reports whether the relay is to be left alone now.
func (l *limits) paused(now time.Time) bool { return now.Before(l.until) }
