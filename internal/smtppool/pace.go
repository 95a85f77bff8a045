package smtppool

import "time"

const (
	severalRefused = 3                      // refusals in a row that are more than a coincidence
	refusedPause   = 500 * time.Millisecond // pause after several refusals, if the relay accepted mail before
	seekPause      = 100 * time.Millisecond // pause between messages while the relay refuses each
	seekDoubles    = 40                     // refusals after which seekPause doubles
	maxPause       = time.Minute            // longest pause
	wantedPause    = 10 * time.Second       // longest pause at first if the relay asks for less mail
	recently       = 10 * time.Second       // time in which an acceptance counts for refusedPause
	paceCut        = 0.93                   // factor for the pace after a refusal
	measured       = 1.5                    // the relay may accept so many times the measured rate
	paceNear       = 0.8                    // part of the last refused pace from which the pace grows slowly
	paceGain       = 0.05                   // growth of the pace in a second, below
	paceProbe      = 0.005                  // growth above
	paceFree       = 4                      // a pace so many times above the last refused pace is no limit any more
)

// A pace limits the rate of messages to a relay, by evidence: undecided refusals of several messages in a row while
// acceptances stop. One refusal changes nothing, unless the relay asks for less mail: greylisting and spam filters
// refuse some messages with the codes that others use for throttling.
//
// While the relay refuses each message, the pool tries one message after another, with short pauses that become longer:
// a message that was never refused may be good, and an acceptance ends the pause. If messages are accepted again after
// such a time, the pace is the rate of the acceptances so far. The pace then grows until the relay refuses a message.
type pace struct {
	row      int           // refusals since the last acceptance
	rowAt    time.Time     // time when the row had several refusals
	probes   int           // refusals of the row of messages sent after rowAt
	wanted   bool          // a refusal of the row asks for less mail
	until    time.Time     // no message before until
	interval time.Duration // time between two messages; zero: no limit
	refused  float64       // messages per second at the last refusal; zero: none
	changed  time.Time     // time of the last change of interval
	cut      time.Time     // time of the last refusal that made the pace slower

	accepted int       // acceptances since began
	began    time.Time // first acceptance after the last row of refusals
	last     time.Time // last acceptance
	reason   string    // reply that made the pool slow down; empty: none
}

// waits reports whether no message may be sent now.
func (p *pace) waits(now time.Time) bool { return now.Before(p.until) }

// slow reports whether the relay is used more slowly than possible.
func (p *pace) slow(now time.Time) bool {
	return p.waits(now) && p.row >= severalRefused || p.interval > 0
}

// take records that a message is sent, and returns the time until the next message; zero: no limit.
func (p *pace) take(now time.Time) time.Duration {
	if p.row >= severalRefused {
		p.until = now.Add(max(p.pause(now), p.interval))
	} else if p.interval > 0 {
		p.until = now.Add(p.interval)
	}
	return max(0, p.until.Sub(now))
}

// pause returns the time between two messages while the relay refuses each.
func (p *pace) pause(now time.Time) time.Duration {
	if p.wanted && p.probes < seekDoubles {
		return min(refusedPause<<min(p.probes, 16), wantedPause)
	}
	if now.Sub(p.last) < recently && p.probes <= severalRefused {
		return refusedPause
	}
	return min(seekPause<<min(p.probes/seekDoubles, 16), maxPause)
}

// serve records an acceptance.
func (p *pace) serve(now time.Time) {
	if p.row >= severalRefused { // the relay accepts messages again
		if elapsed := now.Sub(p.began); p.accepted >= severalRefused && elapsed > 0 {
			rate := float64(p.accepted) / elapsed.Seconds()
			if p.set(rate, now); p.refused < rate {
				p.refused = measured * rate
			}
		}
		p.accepted, p.began, p.until = 0, now, time.Time{}
	}
	if p.accepted == 0 {
		p.began = now
	}
	p.row, p.probes, p.wanted = 0, 0, false
	p.accepted++
	p.last = now
	p.grow(now)
}

// refuse records an undecided refusal of a message that was sent at the time taken, and reports whether the pool begins
// to slow down, or slows down further. throttled is set if the reply asks for less mail.
func (p *pace) refuse(taken, now time.Time, throttled bool, reply string) (news bool) {
	was := p.row >= severalRefused
	if p.row++; was && taken.After(p.rowAt) {
		p.probes++
	}
	p.wanted = p.wanted || throttled
	switch {
	case p.interval > 0 && (throttled || p.row > 1) && now.Sub(p.cut) >= time.Second:
		p.refused, p.cut = 1/p.interval.Seconds(), now
		p.set(p.refused*paceCut, now)
	case p.interval == 0 && throttled && p.row == 1:
		news = true
	}
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

// set sets the pace to a rate in messages per second.
func (p *pace) set(rate float64, now time.Time) {
	p.interval, p.changed = time.Duration(float64(time.Second)/rate), now
}

// grow raises the pace after an acceptance.
func (p *pace) grow(now time.Time) {
	elapsed := now.Sub(p.changed)
	if p.interval == 0 || elapsed < time.Second {
		return
	}
	rate := 1 / p.interval.Seconds()
	gain := paceProbe
	if rate < paceNear*p.refused {
		gain = paceGain
	} else if rate > 1.2*p.refused { // the relay bears more than before
		gain = 2 * paceGain
	}
	rate *= 1 + gain*min(elapsed.Seconds(), 10)
	p.interval, p.changed = time.Duration(float64(time.Second)/rate), now
	if rate > paceFree*p.refused {
		p.interval, p.refused, p.reason = 0, 0, ""
	}
}
