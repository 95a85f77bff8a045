package smtppool

import "time"

const (
	severalRefused = 3                      // refusals in a row that are more than a coincidence
	firstProbes    = 5                      // refused probes before the first recovery, if no reply asks for less mail
	laterProbes    = 2                      // the same, once a trial or a pace shows that the relay may limit the rate
	seekPause      = 100 * time.Millisecond // shortest pause between messages while the relay refuses each
	seekDoubles    = 40                     // refusals after which seekPause doubles
	maxPause       = time.Minute            // longest pause
	firstWanted    = time.Second            // shortest and longest pause at first if the relay asks for less mail
	lastWanted     = 10 * time.Second
	trialFactor    = 2           // pace of a trial, in terms of the measured rate
	paceCut        = 0.95        // factor for the pace after a refusal
	paceNear       = 0.8         // part of the last refused pace from which the pace grows slowly
	paceGain       = 0.08        // growth of the pace in a span, below
	paceProbe      = 0.005       // growth above
	paceFree       = 4           // a pace so many times above the last refused pace is no limit any more
	minSpan        = time.Second // bounds of pace.span
	maxSpan        = 20 * time.Second
)

// A pace limits the rate of messages to a relay, by evidence: undecided refusals of several messages in a row while
// acceptances stop. One refusal changes nothing: greylisting and spam filters refuse some messages with the codes that
// others use for throttling.
//
// While the relay refuses each message, the pool tries one message after another, with short pauses that become longer:
// a message that was never refused may be good, and an acceptance ends the pause. The relay has then recovered. The
// first recovery begins a trial: the relay may have had a trouble that is over, or may limit the rate. If the relay
// refuses several messages again, the relay limits the rate, and the acceptances between two recoveries are the rate.
// The pace is that rate. The pace then grows until the relay refuses a message.
//
// Replies come in any order. So the time when a message was sent decides what a reply says: a message that was sent
// before a refusal says little about the time after the refusal. The replies on one connection come in the order of the
// messages: an acceptance on the connection of the refusal counts, although PIPELINING has sent the message before.
type pace struct {
	row      int           // refusals since the last acceptance
	rowAt    time.Time     // time when the row had several refusals
	blamed   time.Time     // time of the last reply that asks for less mail; zero: none
	probes   int           // refusals of the row of messages sent after rowAt
	wanted   bool          // a refusal of the row asks for less mail
	until    time.Time     // no message before until
	sent     time.Time     // time of the last message; zero: none
	interval time.Duration // time between two messages; zero: no limit
	refused  float64       // messages per second at the last refusal; zero: none
	changed  time.Time     // time of the last change of interval
	stray    time.Time     // time of the last refusal
	cut      time.Time     // time of the last refusal that made the pace slower
	span     time.Duration // time in which the relay counts messages, as far as known
	trial    int           // acceptances until the end of the trial; zero: no trial

	recovered time.Time // last recovery that began a measurement; zero: none
	accepted  int       // acceptances since recovered
	history   history
	reason    string // reply that made the pool slow down; empty: none

	stamped time.Time // last result of stamp; zero: none
}

// stamp returns the time of an event for the other methods: now, or some nanoseconds later if the clock shows the time
// of an earlier event. So each event has a time of its own, and the times have the order of the events.
func (p *pace) stamp(now time.Time) time.Time {
	if !now.After(p.stamped) {
		now = p.stamped.Add(1)
	}
	p.stamped = now
	return now
}

// waits reports whether no message may be sent now.
func (p *pace) waits(now time.Time) bool { return now.Before(p.until) }

// slow reports whether the relay is used more slowly than possible.
func (p *pace) slow(now time.Time) bool {
	return p.waits(now) && p.row >= severalRefused || p.interval > 0
}

// perMinute returns the limit of messages a minute; zero: no limit.
func (p *pace) perMinute(now time.Time) float64 {
	interval := p.interval
	if p.row >= severalRefused {
		interval = max(interval, p.pause(now))
	}
	if interval == 0 {
		return 0
	}
	return time.Minute.Seconds() / interval.Seconds()
}

// take records that a message is sent, and returns the time until the next message; zero: no limit. A message that is
// sent late does not make the next one late.
func (p *pace) take(now time.Time) time.Duration {
	p.skipQuiet(now)
	switch {
	case p.row >= severalRefused:
		p.until = now.Add(max(p.pause(now), p.interval))
	case p.interval > 0:
		due := p.until
		if late := now.Sub(due); late > p.interval {
			due = now
		}
		p.until = due.Add(p.interval)
	}
	return max(0, p.until.Sub(now))
}

// skipQuiet removes a time without messages from the measurement of the rate.
func (p *pace) skipQuiet(now time.Time) {
	free := p.sent // time from which on a message could be sent
	if p.until.After(free) {
		free = p.until
	}
	if quiet := now.Sub(free); quiet > maxSpan && !p.recovered.IsZero() && !free.IsZero() {
		p.recovered = p.recovered.Add(quiet)
	}
	p.sent = now
}

// pause returns the time between two messages while the relay refuses each. If the relay asks for less mail, the pause
// is half of the time since the relay refuses messages, so the time of the recovery is known to a third.
func (p *pace) pause(now time.Time) time.Duration {
	if p.wanted && p.probes < seekDoubles {
		least := firstWanted
		if p.span > 0 {
			least = p.span / 2
		}
		return min(max(least, now.Sub(p.rowAt)/2), lastWanted)
	}
	return min(seekPause<<min(p.probes/seekDoubles, 16), maxPause)
}

// serve records the acceptance of a message that was sent at the time taken.
func (p *pace) serve(taken, now time.Time) {
	switch {
	case p.row > 0 && p.wanted && !taken.After(p.blamed): // says nothing about the time after the refusal
		p.accepted++
		p.history.add(now)
		return
	case p.row >= severalRefused:
		if p.until = (time.Time{}); taken.After(p.rowAt) && p.seemsFull() {
			p.recover(now)
		}
	}
	p.row, p.probes, p.wanted = 0, 0, false
	p.accepted++
	p.history.add(now)
	if p.trial > 0 {
		if p.trial--; p.trial == 0 { // the relay accepts more than before
			p.free()
		}
		return
	}
	p.grow(now)
}

// seemsFull reports whether the refusals of the row look like a limit of the rate, and not like a coincidence.
func (p *pace) seemsFull() bool {
	return p.wanted || p.probes >= firstProbes || p.interval > 0 && p.probes >= laterProbes
}

// recover sets the pace after a time without acceptances.
func (p *pace) recover(now time.Time) {
	rate := float64(p.accepted) / now.Sub(p.recovered).Seconds()
	measured := !p.recovered.IsZero() && p.accepted >= severalRefused
	switch {
	case p.interval > 0 && p.trial == 0: // slower than before, for any measured rate
		if rate = min(rate, paceCut/p.interval.Seconds()); !measured {
			rate = paceNear / p.interval.Seconds()
		}
	case p.interval == 0:
		n, in := p.history.densest(now)
		if n == 0 {
			return
		}
		p.span, p.trial = min(max(in, minSpan), maxSpan), 2*n
		rate = trialFactor * float64(n) / in.Seconds()
	case measured:
		p.trial, p.refused = 0, 0
	default: // the trial goes on
		return
	}
	p.recovered, p.accepted = now, 0
	p.set(rate, now)
}

// free ends the limit.
func (p *pace) free() {
	p.interval, p.refused, p.trial, p.span, p.reason = 0, 0, 0, 0, ""
	p.until, p.recovered = time.Time{}, time.Time{}
}

// refuse records an undecided refusal of a message that was sent at the time taken, and reports whether the pool begins
// to slow down, or slows down further. throttled is set if the reply asks for less mail.
func (p *pace) refuse(taken, now time.Time, throttled bool, reply string) (news bool) {
	was := p.row >= severalRefused
	tooFast := throttled || p.row > 0 || now.Sub(p.stray) < 2*p.span
	if p.row++; was && taken.After(p.rowAt) {
		p.probes++
	}
	if throttled && p.trial > 0 && !was && taken.After(p.recovered) {
		p.row = severalRefused
	}
	if throttled {
		p.wanted, p.blamed = true, now
	}
	switch {
	case p.interval > 0 && p.trial == 0 && tooFast && taken.Sub(p.cut) >= p.span:
		p.refused, p.cut = 1/p.interval.Seconds(), now
		p.set(p.refused*paceCut, now)
	case p.interval == 0 && throttled && p.row == 1:
		news = true
	}
	p.stray = now
	if p.row == severalRefused {
		p.rowAt = now
		p.until = now.Add(p.pause(now))
	}
	news = news || !was && p.row >= severalRefused
	if news {
		p.reason = reply
	}
	return news
}

// set sets the pace to a rate in messages per second. The longest interval is the longest pause.
func (p *pace) set(rate float64, now time.Time) {
	interval := min(float64(time.Second)/rate, float64(maxPause))
	p.interval, p.changed = max(1, time.Duration(interval)), now
}

// grow raises the pace after an acceptance.
func (p *pace) grow(now time.Time) {
	elapsed := now.Sub(p.changed)
	if p.interval == 0 || elapsed < p.span {
		return
	}
	rate := 1 / p.interval.Seconds()
	gain := paceProbe
	if rate < paceNear*p.refused || p.refused == 0 {
		gain = paceGain
	} else if rate > 1.2*p.refused { // the relay bears more than before
		gain = 2 * paceGain
	}
	rate *= 1 + gain*min(elapsed.Seconds()/p.span.Seconds(), 10)
	p.set(rate, now)
	if p.refused > 0 && rate > paceFree*p.refused {
		p.free()
	}
}

// A history holds the times of the last acceptances.
type history struct {
	times [256]int64 // in nanoseconds since 1970; zero: none
	next  int        // index of the oldest
}

// add adds an acceptance.
func (h *history) add(now time.Time) {
	h.times[h.next] = now.UnixNano()
	h.next = (h.next + 1) % len(h.times)
}

// densest returns the last n acceptances, at least severalRefused, with the highest rate until now: the beginning of a
// burst begins the time. densest returns zero if there are too few acceptances.
func (h *history) densest(now time.Time) (n int, in time.Duration) {
	for i := 1; i <= len(h.times); i++ {
		at := h.times[(h.next-i+len(h.times))%len(h.times)]
		if at == 0 {
			break
		}
		since := max(1, time.Duration(now.UnixNano()-at))
		if i >= severalRefused && (n == 0 || float64(i)/float64(since) > float64(n)/float64(in)) {
			n, in = i, since
		}
	}
	return n, in
}
