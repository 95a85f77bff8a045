package smarthost

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

const (
	quitLimit = 2 * time.Second // to say goodbye
	maxLosses = 3               // connections that may be lost under one offer before that counts as its outcome
)

// A session is one connection and the goroutine that uses it. Leaving, probe, welcome and conn are written with the
// relay's mutex held, the other fields belong to the goroutine; flying, while it rests, to whoever has the mutex.
type session struct {
	relay   *Relay
	ctx     context.Context
	cut     context.CancelCauseFunc // ends the connection at once
	hand    chan *offer             // to a session at rest: its next offer; nil: it is to end
	conn    *smtpclient.Conn
	raw     net.Conn // below conn
	flying  []*offer // taken, and not answered yet
	unheard []outcome
	back    []*offer // to be offered on another connection
	served  bool     // the relay has answered a transaction
	silent  bool     // nothing has been heard since the last rest
	spoiled bool     // closed because a message could not be read to its end
	probe   bool     // one more than the ceiling
	leaving bool
	welcome bool // the relay has greeted it
}

func newSession(r *Relay, probe bool) *session {
	s := &session{relay: r, hand: make(chan *offer, 1), probe: probe}
	s.ctx, s.cut = context.WithCancelCause(context.Background())
	return s
}

// An outcome is that of one offer; with results nil it is to be made again.
type outcome struct {
	*offer
	results []smtpclient.Result
	verdict
}

// connect is the beginning of a session, and in a goroutine of its own, as connecting takes a stack that would be kept.
func (s *session) connect() {
	l, err := s.relay.connect(s.ctx, s.welcomed)
	s.relay.connected(s, l, err)
	if err != nil {
		s.end()
		return
	}
	go s.run()
}

func (s *session) end() {
	s.cut(nil)
	s.relay.end(s)
}

// run is the rest of its life.
func (s *session) run() {
	defer s.end()
	defer s.quit()
	for s.conn.Usable() {
		o, rest := s.relay.next(s)
		if rest {
			o = s.rest()
		}
		if o == nil {
			return
		}
		if rest && hungUp(s.raw) {
			s.back, s.flying = append(s.back, o), nil
			_ = s.conn.Close()
			return
		}
		s.conn.Serve(s.ctx, &o.t, s.more, s.done)
		s.decide()
	}
}

// welcomed hears that the relay has greeted the connection. A relay with several places may greet several times.
func (s *session) welcomed() {
	if !s.welcome {
		s.relay.welcome(s)
	}
}

// rest waits for work; nil: it is time to end.
func (s *session) rest() *offer {
	s.silent = true
	idle := time.NewTimer(s.relay.opts.Idle)
	defer idle.Stop()
	select {
	case o := <-s.hand:
		return o
	case <-idle.C:
	}
	if s.relay.rested(s) {
		return nil
	}
	return <-s.hand
}

// more gives the connection its next transaction; nil: there is none now.
func (s *session) more() *smtpclient.Transaction {
	if o := s.relay.more(s); o != nil {
		return &o.t
	}
	return nil
}

// done takes the outcome of a transaction. Of one that the relay has not heard it is not told before it is known why the
// connection was lost, which is soon.
func (s *session) done(t *smtpclient.Transaction, results []smtpclient.Result) {
	i := slices.IndexFunc(s.flying, func(o *offer) bool { return &o.t == t })
	out := outcome{s.flying[i], results, weigh(results)}
	s.flying = slices.Delete(s.flying, i, i+1)
	s.spoiled = s.spoiled || out.source
	if out.unheard && !s.conn.Usable() {
		s.unheard = append(s.unheard, out)
		return
	}
	if out.answered {
		s.served, s.silent = true, false
	}
	out.strained = out.closing || out.timeout
	s.relay.settle(s, &out)
}

// decide what becomes of the offers that the relay has not heard, after the connection was lost.
func (s *session) decide() {
	if len(s.unheard) == 0 {
		return
	}
	s.relay.lost(s)
	for _, out := range s.unheard {
		if s.again(&out) && out.rewind() {
			s.back = append(s.back, out.offer)
			out.results = nil
		} else {
			out.strained = out.closing
		}
		s.relay.settle(s, &out)
	}
	s.unheard = nil
}

// again decides whether an offer that the relay has not heard is to be made on another connection. On a connection that
// was used before it is: relays close those that have been at rest or have carried so many messages. On a new one it is
// only if the relay turns down one connection too many, and there are others.
func (s *session) again(out *outcome) bool {
	switch {
	case s.ctx.Err() != nil, s.spoiled: // ended for the sake of a caller, who shares it with others
		return !out.uncertain
	case !s.served:
		out.refused = out.closing && s.relay.hasOthers()
		return out.refused
	case out.closing:
		return true
	}
	// What was sent in one go to a relay that had hung up before looks the same as what got lost on the way back. After
	// a rest the first is far more likely; a second copy is no more likely than if it were tried again later.
	out.losses++
	return out.losses < maxLosses && (!out.uncertain || s.silent && out.hungUp)
}

// quit says goodbye, if the connection is still good for that, and hangs up.
func (s *session) quit() {
	stop := time.AfterFunc(quitLimit, func() { _ = s.raw.Close() })
	defer stop.Stop()
	_ = s.conn.Quit()
}
