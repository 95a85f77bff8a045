package smtppool

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

const (
	quitLimit = 2 * time.Second // time limit for QUIT
	maxLosses = 3               // connections lost under one offer before the loss is the outcome of the offer
	briefIdle = time.Second     // no relay ends a connection that was idle for less, because the connection was idle
	maxWays   = 8               // ways to make one offer before the last result is the outcome of the offer
)

// A session is one connection and the goroutine of the connection. The mutex of the pool guards writes of conn,
// greeted, leaving and probe. The goroutine owns the other fields; while the session is idle, the holder of the mutex
// owns inFlight.
type session struct {
	pool     *pool
	began    time.Time // when connecting began
	ctx      context.Context
	cut      context.CancelCauseFunc // closes the connection at once
	hand     chan *offer             // next offer for an idle session; nil: end
	conn     *smtpclient.Conn        // nil: not connected yet
	raw      net.Conn                // connection below conn
	addr     string                  // IP address and port of the relay; empty: not connected, or not known
	endpoint *endpoint               // address of the relay; nil: not connected yet
	inFlight []*offer                // offers without a result
	unheard  []completion            // lost offers, to be settled when the connection has ended
	back     []*offer                // offers to put back into the waitlist at the end of the session
	served   bool                    // the relay has replied to a transaction
	silent   bool                    // no reply since the session was idle
	idled    time.Duration           // last idle time
	taken    int                     // offers taken
	refusal  time.Time               // stamp after the last undecided refusal; zero: none
	replied  int                     // transactions with a reply other than 421
	refused  bool                    // the relay refuses this host at the endpoint
	spoiled  bool                    // closed because the content of an offer could not be read
	probe    bool                    // probes for one connection above the ceiling
	leaving  bool                    // takes no more offers
	greeted  bool                    // the relay has sent a greeting
}

func newSession(p *pool, probe bool) *session {
	s := &session{pool: p, began: time.Now(), hand: make(chan *offer, 1), probe: probe}
	s.ctx, s.cut = context.WithCancelCause(context.Background())
	return s
}

// A completion is an offer with the results of a transaction. With nil results, the offer is made again.
type completion struct {
	*offer
	addr    string // of the session
	results []smtpclient.Result
	evidence
}

// outcomes classifies the results, or returns nil if there are no results.
func (c *completion) outcomes() []attempt.Outcome {
	if c.results == nil {
		return nil
	}
	outcomes := c.newOutcomes(len(c.results))
	for i := range c.results {
		outcomes[i] = c.results[i].Outcome()
		outcomes[i].Relay, outcomes[i].Addr = c.relay, c.addr
		outcomes[i].Rested = c.rested && outcomes[i].Uncertain
	}
	return outcomes
}

// connect opens the connection. run has a goroutine of its own, because the stack that connect needs would stay
// allocated.
func (s *session) connect() {
	l, err := s.pool.connector.connect(s.ctx, s.greet)
	if !s.pool.connected(s, l, err) {
		if err == nil { // the session was stopped at this moment
			_ = l.conn.Close()
		}
		s.end()
		return
	}
	go s.run()
}

func (s *session) end() {
	s.cut(nil)
	s.pool.end(s)
}

// run sends offers until the session ends.
func (s *session) run() {
	defer s.end()
	defer s.quit()
	for s.conn.Usable() && s.ctx.Err() == nil {
		o, idle := s.pool.next(s)
		if idle {
			o = s.wait()
		}
		if o == nil {
			return
		}
		if idle && hungUp(s.raw) {
			if s.idled < briefIdle {
				s.endpoint.closed(s.replied, true, time.Now())
			}
			s.back, s.inFlight = append(s.back, o), nil
			s.pool.untake()
			_ = s.conn.Close()
			return
		}
		s.conn.Serve(s.ctx, &o.t, s.more, s.done)
		s.settleUnheard()
	}
}

// greet reports the first greeting to the pool. A relay with several addresses may send several greetings.
func (s *session) greet() {
	if !s.greeted {
		s.pool.greet(s)
	}
}

// wait returns the next offer for an idle session, or nil if the session ends.
func (s *session) wait() *offer {
	began := time.Now()
	defer func() { s.silent, s.idled = true, time.Since(began) }()
	timer := time.NewTimer(s.pool.idleTimeout)
	defer timer.Stop()
	select {
	case o := <-s.hand:
		return o
	case <-timer.C:
	}
	if s.pool.expire(s) {
		return nil
	}
	return <-s.hand
}

// more returns the next transaction, or nil if no offer waits.
func (s *session) more() *smtpclient.Transaction {
	if o := s.pool.more(s); o != nil {
		return &o.t
	}
	return nil
}

// done takes the results of a transaction. If the relay did not receive the transaction, done keeps the results until
// the connection has ended, which is soon.
func (s *session) done(t *smtpclient.Transaction, results []smtpclient.Result) {
	i := slices.IndexFunc(s.inFlight, func(o *offer) bool { return &o.t == t })
	c := completion{s.inFlight[i], s.addr, results, observe(results)}
	s.inFlight = slices.Delete(s.inFlight, i, i+1)
	s.spoiled = s.spoiled || c.source
	if c.unheard && (!s.conn.Usable() || s.ctx.Err() != nil) { // ctx may have ended before anything was sent
		s.unheard = append(s.unheard, c)
		return
	}
	if c.answered {
		s.served, s.silent = true, false
		s.replied++
	}
	if s.offersInAnotherWay(&c) {
		s.back = append(s.back, c.offer)
		c.results, c.evidence = nil, evidence{}
		s.pool.settle(s, &c)
		return
	}
	if c.accepted {
		s.endpoint.worked()
	}
	c.overloaded = c.closing || c.timeout
	s.pool.settle(s, &c)
}

// offersInAnotherWay decides whether an offer is made again at once, although the relay has replied: without an
// extension that is broken, with fewer recipients, or at an IPv4 address.
func (s *session) offersInAnotherWay(c *completion) bool {
	switch {
	case c.accepted, c.uncertain, c.ways >= maxWays:
		return false
	case c.again:
	case c.noPTR && s.endpoint.isIPv6():
		now := time.Now()
		if s.endpoint.avoid(errNoPTR, now, wrongPTR); !s.pool.connector.other(now) {
			return false
		}
		s.refused = true
	default:
		return false
	}
	c.ways++
	return c.rewind()
}

var errNoPTR = errors.New("the relay refuses the IPv6 address of this host: there is no PTR record")

// settleUnheard settles the offers that the relay did not receive, after the connection was lost: another connection
// takes the offer, or the offer fails.
func (s *session) settleUnheard() {
	if len(s.unheard) == 0 {
		return
	}
	others := s.pool.lost(s, s.tooMany())
	cut := s.ctx.Err() != nil || s.spoiled                          // the client closed the connection
	ended := !cut && s.served && (!s.silent || s.idled < briefIdle) // by the relay, after some messages
	sure := true                                                    // not because of a message
	for _, c := range s.unheard {
		if s.offersAgain(&c, others) && c.rewind() {
			s.back = append(s.back, c.offer)
			if c.results = nil; !c.refused {
				c.undecided, c.throttled = false, false
			}
		} else {
			sure, ended = false, ended && c.uncertain && c.hungUp
			c.overloaded = c.closing
		}
		s.pool.settle(s, &c)
	}
	if ended {
		s.endpoint.closed(s.replied, sure, time.Now())
	}
	s.unheard = nil
}

// tooMany reports whether the relay refused the connection before any reply to a transaction: beside other connections,
// the connection was one too many.
func (s *session) tooMany() bool {
	return !s.served && s.ctx.Err() == nil && !s.spoiled &&
		slices.ContainsFunc(s.unheard, func(c completion) bool { return c.closing })
}

// offersAgain decides whether another connection takes an offer that the relay did not receive. others is set if there
// are other connections.
//
// Relays close connections that were idle, or that have carried a number of messages. So a connection with replies
// before leads to another offer. A new connection does so only if the relay refuses one connection too many.
func (s *session) offersAgain(c *completion, others bool) bool {
	switch {
	case s.ctx.Err() != nil, s.spoiled: // the connection was closed because of another offer
		return !c.uncertain
	case !s.served:
		now := time.Now()
		if c.refused = c.closing && others; c.refused {
			return true
		}
		s.endpoint.failed(c.results[0].Err, now)
		c.ways++
		return !c.uncertain && c.ways <= maxWays && s.pool.connector.other(now)
	case c.closing:
		return true
	}
	// A flight sent to a relay that had hung up before looks like a flight whose replies were lost. After idle time the
	// first is far more likely. The message is offered again at once, but log and status say that the relay may have
	// accepted it.
	c.losses++
	c.rested = c.uncertain && s.silent && c.hungUp
	return c.losses < maxLosses && !c.uncertain
}

// full reports whether the session takes no more offers: as many messages as the relay accepts on a connection were
// sent, the relay refuses this host, or an offer waits for the end of the session. The caller holds the mutex of the
// pool.
func (s *session) full(now time.Time) bool {
	if s.refused || len(s.back) > 0 {
		return true
	}
	most := s.endpoint.most(now)
	return most > 0 && s.taken >= most
}

// quit sends QUIT, if the connection is usable, and closes the connection.
func (s *session) quit() {
	timer := time.AfterFunc(quitLimit, func() { _ = s.raw.Close() })
	defer timer.Stop()
	_ = s.conn.Quit()
}
