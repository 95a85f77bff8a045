package smtppool

import "time"

const (
	quickFlight = 2500 * time.Microsecond // below, a relay is quick
	quickWait   = 5 * time.Millisecond    // expected wait for a quick relay from which on one more session works
	quickLook   = 2 * time.Millisecond    // time until the pool looks whether a quick relay still is
	quickAtOnce = 2                       // sessions that work at a quick relay, however little waits
	slowWelcome = 10 * time.Millisecond   // time until a greeting from which on a relay is distant
)

// A tempo decides how many sessions work at a relay. Offers to a relay that is far away, or thinks, go to as many
// sessions as there are. A quick relay replies in less time than another session needs to begin: there a few sessions
// with full flights use less time than many sessions with one message each. The mutex of the pool guards a tempo.
//
// Times count as the quarter of them that is shortest: on a busy host the others say more about the host.
type tempo struct {
	flight  time.Duration // from taking an offer to its acceptance; zero: not known
	welcome time.Duration // shortest time from connecting to the greeting; zero: not known
	results int           // transactions with a result
	armed   bool          // a look at the waitlist is due
	spur    bool          // during a look: no result came since the look was due
}

// greeted records the time from connecting to a greeting.
func (t *tempo) greeted(took time.Duration) {
	if took = max(took, 1); t.welcome == 0 || took < t.welcome {
		t.welcome = took
	}
}

// served records a transaction with a result, which took so long.
func (t *tempo) served(took time.Duration, accepted bool) {
	t.results++
	switch took = max(took, 1); {
	case !accepted: // refusals are quick
	case t.flight == 0:
		t.flight = took
	case took < t.flight: // three steps down and one step up end at the quarter
		t.flight = max(took, t.flight-3*t.flight/8)
	default:
		t.flight = min(took, t.flight+t.flight/8+1)
	}
}

// quick reports whether the relay is known to be quick.
func (t *tempo) quick() bool { return 0 < t.flight && t.flight <= quickFlight }

// enough reports whether the busy sessions will soon take the waiting offers, so that no other session is needed.
func (t *tempo) enough(waiting, busy, depth int) bool {
	if t.spur || !t.quick() || busy < quickAtOnce {
		return false
	}
	return time.Duration(waiting/(busy*max(1, depth)))*t.flight <= quickWait
}

// isDistant reports whether the relay is far away, or slow to greet. The caller holds p.mu.
func isDistant(p *pool) bool { return p.tempo.welcome >= slowWelcome && !p.tempo.quick() }

// enough reports whether the waiting offers need no other session, or with less = 1 one session less. If so, the pool
// looks again after a moment: the busy sessions may wait for replies that do not come. The caller holds p.mu.
func enough(p *pool, less int) bool {
	busy := p.roster.connected() - len(p.roster.idle) - p.roster.leaving - less
	if p.closing || p.waiting.len() == 0 || !p.tempo.enough(p.waiting.len(), busy, p.depth) {
		return false
	}
	if !p.tempo.armed {
		p.tempo.armed = true
		results := p.tempo.results
		time.AfterFunc(quickLook, func() { look(p, results) })
	}
	return true
}

// look gives the waiting offers to more sessions, if no result came since there were so many results.
func look(p *pool, results int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tempo.armed, p.tempo.spur = false, p.tempo.results == results
	p.dispatch()
	p.tempo.spur = false
}
