package smtppool

import (
	"errors"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// startAhead is the limit for transactions in progress, beyond one on each connection and one for each reply so far: a
// relay that limits the rate refuses at once what is in progress.
const startAhead = 32

// A pool assigns offers to sessions, and opens and ends sessions. The sessions call the pool from their goroutines.
type pool struct {
	connector   *connector
	idleTimeout time.Duration
	grown       func() // Options.Grown; called without mu
	slowed      func() // Options.Slowed; called without mu

	mu      sync.Mutex // guards the following fields; never held during network I/O
	ended   *sync.Cond // signalled when a session has ended or the waitlist is empty
	waiting waitlist
	roster  roster
	limits  limits
	pace    pace
	tempo   tempo
	busy    int  // offers that a session has
	heard   int  // transactions with a reply other than an undecided refusal
	depth   int  // transactions in progress per connection, as seen on the newest connection
	closing bool // close is in progress
	retired bool
}

func newPool(c *connector, o Options) *pool {
	p := &pool{connector: c, idleTimeout: o.Idle, grown: o.Grown, slowed: o.Slowed, roster: newRoster(), depth: 1}
	p.limits = newLimits(o.Concurrency, o.Auto)
	p.ended = sync.NewCond(&p.mu)
	return p
}

// poolStatus is the state of a pool.
type poolStatus struct {
	allowed     int       // limit for connections
	ceiling     int       // limit for connections that the relay has shown by a refusal; zero: none
	ceilings    uint64    // number of refusals that have changed ceiling
	greeted     int       // connections with a greeting
	depth       int       // transactions in progress per connection
	slow        bool      // the relay is used more slowly than possible
	pausedUntil time.Time // end of the pause; zero: no pause
	pace        float64   // messages a minute; zero: no limit
	reason      string    // reply that made the pool slow down
}

func (p *pool) status() poolStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	s := poolStatus{allowed: p.limits.allowed(now), greeted: p.roster.greeted, depth: p.depth,
		ceiling: p.limits.ceiling, ceilings: p.limits.ceilings}
	if p.pace.slow(now) {
		s.slow, s.reason, s.pausedUntil = true, p.pace.reason, p.pace.until
		s.pace = p.pace.perMinute(now)
	}
	return s
}

// allow changes the configured limit for connections.
func (p *pool) allow(concurrency int, auto bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits.resize(concurrency, auto)
	p.dispatch()
}

// add adds an offer to the waitlist.
func (p *pool) add(o *offer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.add(o)
	p.dispatch()
}

// cut withdraws all waiting offers and closes all connections.
func (p *pool) cut(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.end(cause)
	p.ended.Broadcast()
	p.roster.cut(cause)
}

// cancel ends an offer whose context has ended. An offer that has a session ends with the connection of the session.
func (p *pool) cancel(o *offer, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o.canceled = cause
	switch {
	case o.session != nil:
		o.session.cut(cause)
	case p.waiting.remove(o):
		o.withdraw(cause)
		p.ended.Broadcast()
	}
}

// retire withdraws all waiting offers and all later offers; transactions in progress go on.
func (p *pool) retire(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
	p.waiting.end(cause)
	p.ended.Broadcast()
	p.roster.cutConnecting(cause)
}

// errClosed is the cause for a connection that close stops.
var errClosed = errors.New("the connection pool is closed")

// close waits for the offers in progress and ends all sessions.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = true
	p.roster.dismissIdle()
	if p.waiting.len() == 0 {
		p.roster.cutConnecting(errClosed)
	}
	for p.roster.running > 0 || p.waiting.len() > 0 {
		p.ended.Wait()
	}
	p.closing = false
	if !p.retired {
		p.waiting.reopen()
	}
}

// dispatch gives the waiting offers to idle sessions, and opens sessions for the rest. Busy sessions call more
// themselves. The caller holds p.mu.
func (p *pool) dispatch() {
	now := time.Now()
	for p.waiting.len() > 0 && !holds(p, now) && !enough(p, 0) {
		s := p.roster.takeIdle()
		if s == nil {
			break
		}
		o := p.take(s, now)
		if o == nil {
			p.roster.leave(s)
		}
		s.hand <- o
	}
	for p.roster.connecting < p.waiting.len() && p.roster.count() < p.limits.allowed(now) &&
		!holds(p, now) && !enough(p, 0) {
		s := newSession(p, p.limits.started(p.roster.count()))
		p.roster.add(s)
		go s.connect()
	}
}

// holds reports whether no session may take an offer now. Idle sessions stay for the next offer. The caller holds p.mu.
func holds(p *pool, now time.Time) bool { return p.pace.waits(now) || crowded(p, now) }

// crowded reports whether the limit for transactions in progress is reached. The limit grows with each reply of the
// relay. The caller holds p.mu.
func crowded(p *pool, now time.Time) bool { return p.busy >= p.limits.allowed(now)+startAhead+p.heard }

// take removes the next offer from the waitlist for s, or returns nil. The caller holds p.mu.
func (p *pool) take(s *session, now time.Time) *offer {
	if holds(p, now) || p.limits.exceeded(&p.roster, now) || s.full(now) {
		return nil
	}
	o := p.waiting.pop()
	if o != nil {
		p.busy++
		o.taken, o.session = p.pace.stamp(now), s
		s.inFlight = append(s.inFlight, o)
		s.taken++
		p.resumeAfter(p.pace.take(now))
	}
	return o
}

// more returns the next offer for a busy session, or nil.
func (p *pool) more(s *session) *offer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(s, time.Now())
}

// next returns the next offer for a session without work. If there is no offer, the session is idle from now on (idle
// is true), or ends (idle is false).
func (p *pool) next(s *session) (o *offer, idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !s.full(now) && enough(p, 1) {
		p.roster.park(s)
		return nil, true
	}
	if o := p.take(s, now); o != nil {
		return o, false
	}
	if p.limits.exceeded(&p.roster, now) || p.closing || s.full(now) {
		p.roster.leave(s)
		return nil, false
	}
	p.roster.park(s)
	return nil, true
}

// expire ends the idle time of a session. expire returns false if the session was given an offer just before.
func (p *pool) expire(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.roster.unpark(s) {
		return false
	}
	p.roster.leave(s)
	return true
}

// greet records that the relay has sent a greeting to s. More connections may be allowed before s is set up.
func (p *pool) greet(s *session) {
	p.mu.Lock()
	p.roster.greet(s)
	p.tempo.greeted(time.Since(s.began))
	before := p.limits.allowed(time.Now())
	p.limits.greeted(p.roster.greeted, isDistant(p))
	grown := p.limits.allowed(time.Now()) > before
	p.dispatch()
	p.mu.Unlock()
	if grown {
		p.grown()
	}
}

// connected records the result of connecting, and calls grown if the connection is deeper than the one before, or if
// more connections are allowed: otherwise the sessions that are still connecting would find too few offers. ok is false
// if s cannot be used.
func (p *pool) connected(s *session, l *link, err *smtpclient.Error) (ok bool) {
	p.mu.Lock()
	before, allowed := p.depth, p.limits.allowed(time.Now())
	if ok = err == nil && s.ctx.Err() == nil; ok {
		p.limits.setUp = true
		s.conn, s.raw, s.endpoint, p.depth = l.conn, l.raw, l.endpoint, l.conn.Depth()
		s.addr = remoteAddr(l.raw)
		p.limits.greeted(p.roster.greeted, isDistant(p))
		p.dispatch() // s, which counts as connecting, will take one of the waiting offers
		p.roster.connecting--
	} else {
		p.roster.connecting--
		p.connectFailed(s, err)
	}
	grown := p.depth > before || p.limits.allowed(time.Now()) > allowed
	p.mu.Unlock()
	if grown {
		p.grown()
	}
	return ok
}

// connectFailed removes s. Beside other connections, a failed connection is evidence for a limit of the relay.
// Otherwise the relay is unreachable, and all waiting offers fail. The caller holds p.mu.
func (p *pool) connectFailed(s *session, err *smtpclient.Error) {
	p.roster.remove(s)
	now := time.Now()
	switch others := p.roster.count(); {
	case s.ctx.Err() != nil: // stopped by cut, retire or close
	case others > 0:
		p.limits.refused(others, now)
	default:
		p.limits.unreachable(now)
		p.waiting.fail(err)
	}
}

// untake records that a session gives an offer back without a transaction.
func (p *pool) untake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
}

// end removes a session whose goroutine ends, and puts the offers of the session back.
func (p *pool) end(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster.end(s)
	if s.probe {
		p.limits.probing = false
	}
	p.waiting.putBack(s.back)
	p.dispatch()
	p.ended.Broadcast()
}

// settle adjusts the limits to the evidence of a transaction, and passes the outcomes to the caller of Offer, if final.
func (p *pool) settle(s *session, c *completion) {
	outcomes := c.outcomes()
	slowed := false
	defer func() {
		if slowed {
			p.slowed()
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	crowded := crowded(p, now)
	p.busy--
	if c.answered && !c.undecided {
		p.heard++
	}
	if c.answered {
		p.tempo.served(now.Sub(c.taken), c.accepted)
	}
	switch {
	case c.refused: // lost has recorded the limit
	case c.undecided:
		if c.throttled {
			p.limits.backOff(now)
		}
		if p.pace.refuse(c.taken, p.pace.stamp(now), c.throttled, replyIn(c.results)) {
			slowed = true
		}
		s.refusal = p.pace.stamp(now)
		p.resumeAfter(p.pace.until.Sub(now))
	case c.accepted:
		accepted(p, s, c, now)
	case c.overloaded:
		p.limits.backOff(now)
	}
	if crowded {
		p.dispatch() // an idle session may take an offer now
	}
	if outcomes != nil {
		c.finish(outcomes)
	}
}

// accepted records an accepted message. The caller holds p.mu.
func accepted(p *pool, s *session, c *completion, now time.Time) {
	p.limits.served(p.roster.connected(), now, p.tempo.quick())
	sent := c.taken
	if sent.Before(s.refusal) { // the relay decides about the messages of a connection in order
		sent = s.refusal
	}
	p.pace.serve(sent, p.pace.stamp(now))
	if s.probe {
		s.probe = false
		p.limits.liftCeiling()
	}
	p.dispatch() // another connection may be allowed now
}

// replyIn returns the first undecided reply, for the log.
func replyIn(results []smtpclient.Result) string {
	for i := range results {
		if e := results[i].Err; e != nil && e.Reply.Undecided() {
			return e.Reply.String()
		}
	}
	return ""
}

// resumeAfter dispatches the waiting offers after a pause, if there is one.
func (p *pool) resumeAfter(pause time.Duration) {
	if pause > 0 {
		time.AfterFunc(pause, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.dispatch()
		})
	}
}

// lost removes a session that has lost the connection, and reports whether there are other sessions. tooMany is set if
// the relay refused the connection: beside other sessions, the number of these is the limit of the relay from now on. A
// later limit would let dispatch replace the refused connection.
func (p *pool) lost(s *session, tooMany bool) (others bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster.remove(s)
	n := p.roster.count()
	if tooMany && n > 0 {
		p.limits.refused(n, time.Now())
	}
	return n > 0
}
