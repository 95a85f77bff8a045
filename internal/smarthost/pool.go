package smarthost

import (
	"time"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// What is in this file decides who does what, and when. All of it needs r.mu unless it says that it takes it.

// add puts an offer in the queue. It takes r.mu.
func (r *Relay) add(o *offer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending != nil {
		o.withdraw(r.ending)
		return
	}
	o.place = r.waiting.PushBack(o)
	r.dispatch()
}

// withdrawAll ends the offers that wait.
func (r *Relay) withdrawAll() {
	for e := r.waiting.Front(); e != nil; e = r.waiting.Front() {
		o := e.Value.(*offer)
		r.remove(o)
		o.withdraw(r.ending)
	}
	r.ended.Broadcast() // Close waits for offers too
}

func (r *Relay) remove(o *offer) {
	r.waiting.Remove(o.place)
	o.place = nil
}

// dispatch finds sessions for the offers that wait. It hands nothing to those that have work: they ask by themselves.
func (r *Relay) dispatch() {
	now := time.Now()
	if r.limits.paused(now) {
		return
	}
	for r.waiting.Len() > 0 && len(r.resting) > 0 {
		last := len(r.resting) - 1
		s := r.resting[last]
		r.resting = r.resting[:last]
		o := r.take(s, now)
		if o == nil {
			r.leave(s)
		}
		s.hand <- o
	}
	for r.connecting < r.waiting.Len() && len(r.sessions) < r.limits.allowed(now) {
		s := newSession(r, r.limits.started(len(r.sessions)))
		r.sessions[s] = struct{}{}
		r.running++
		r.connecting++
		go s.connect()
	}
}

// take gives s the next offer; nil: there is none that it may have.
func (r *Relay) take(s *session, now time.Time) *offer {
	front := r.waiting.Front()
	if front == nil || r.limits.paused(now) || r.surplus(now) {
		return nil
	}
	o := front.Value.(*offer)
	r.remove(o)
	o.taken = now
	s.flying = append(s.flying, o)
	return o
}

// surplus reports whether there are more connections than there may be.
func (r *Relay) surplus(now time.Time) bool { return len(r.sessions)-r.leaving > r.limits.allowed(now) }

// leave notes that s takes no more.
func (r *Relay) leave(s *session) {
	s.leaving = true
	r.leaving++
}

// more is take for a session that has work. It takes r.mu.
func (r *Relay) more(s *session) *offer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.take(s, time.Now())
}

// next is take for a session without work, or sends it to rest until there is some. With neither it is to end. It takes
// r.mu.
func (r *Relay) next(s *session) (o *offer, rest bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if o := r.take(s, now); o != nil {
		return o, false
	}
	if r.surplus(now) || r.closing {
		r.leave(s)
		return nil, false
	}
	r.resting = append(r.resting, s)
	return nil, true
}

// rested ends the rest of a session that was given no work; false: it has just been given some. It takes r.mu.
func (r *Relay) rested(s *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.resting {
		if other == s {
			r.resting = append(r.resting[:i], r.resting[i+1:]...)
			r.leave(s)
			return true
		}
	}
	return false
}

// welcome notes that the relay has greeted s, long before s can be used: there may be room for others now. It takes r.mu.
func (r *Relay) welcome(s *session) {
	r.mu.Lock()
	s.welcome = true
	r.welcomed++
	before := r.limits.allowed(time.Now())
	r.limits.welcomed(r.welcomed)
	grown := r.limits.allowed(time.Now()) > before
	r.dispatch()
	r.mu.Unlock()
	if grown {
		r.grown()
	}
}

// grown tells that there is use for more offers than before. It must be called without r.mu.
func (r *Relay) grown() {
	if r.opts.Grown != nil {
		r.opts.Grown()
	}
}

// forget takes a session that has no connection any more out of the count. It takes no mutex.
func (r *Relay) forget(s *session) {
	delete(r.sessions, s)
	if s.welcome {
		s.welcome = false
		r.welcomed--
	}
}

// connected notes what came of connecting, and tells if a connection has shown that it can have more in hand than was known. It
// takes r.mu.
func (r *Relay) connected(s *session, l *link, err *smtpclient.Error) {
	r.mu.Lock()
	before := r.depth
	r.settleConnect(s, l, err)
	deeper := r.depth > before
	r.mu.Unlock()
	if deeper {
		r.grown() // or those that are still connecting find that the first have taken all there is
	}
}

// settleConnect is connected with r.mu held.
func (r *Relay) settleConnect(s *session, l *link, err *smtpclient.Error) {
	r.connecting--
	if err == nil {
		s.conn, s.raw, r.depth = l.conn, l.raw, depth(l.conn, &r.opts.Client)
		return
	}
	r.forget(s)
	now := time.Now()
	switch others := len(r.sessions); {
	case s.ctx.Err() != nil: // by Close
	case others > 0:
		r.limits.refused(others, now) // as many as there are may be what it bears
	default:
		r.limits.down(now)
		r.failAll(err)
	}
}

// failAll settles all offers that wait.
func (r *Relay) failAll(err *smtpclient.Error) {
	for e := r.waiting.Front(); e != nil; e = r.waiting.Front() {
		o := e.Value.(*offer)
		r.remove(o)
		o.fail(err)
	}
}

// end takes leave of a session and puts what it gives back to the front of the queue. It takes r.mu.
func (r *Relay) end(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	r.forget(s)
	if s.leaving {
		r.leaving--
	}
	if s.probe {
		r.limits.probing = false
	}
	for i := len(s.back) - 1; i >= 0; i-- {
		o := s.back[i]
		if r.ending != nil {
			o.withdraw(r.ending)
			continue
		}
		o.place = r.waiting.PushFront(o)
	}
	r.dispatch()
	r.ended.Broadcast()
}

// settle tells the caller of an offer its outcome, and draws conclusions about how much the relay bears. It takes r.mu.
func (r *Relay) settle(s *session, out *outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	switch {
	case out.refused:
		r.limits.refused(max(1, len(r.sessions)), now)
	case out.tooFast:
		if pause := r.limits.tooFast(out.taken, now, out.recipient); pause > 0 {
			time.AfterFunc(pause, r.resume)
		}
	case out.accepted:
		r.limits.served(out.taken, len(r.sessions)-r.connecting)
		if s.probe {
			s.probe = false
			r.limits.lift()
		}
		r.dispatch() // there may be room for another connection now
	case out.strained:
		r.limits.strained(now)
	}
	if out.results != nil {
		out.done(out.results)
	}
}

// resume goes on after a pause. It takes r.mu.
func (r *Relay) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dispatch()
}

// lost notes that s has no connection any more. It takes r.mu.
func (r *Relay) lost(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(s)
}

// hasOthers reports, for a session that has no connection any more, whether others have. It takes r.mu.
func (r *Relay) hasOthers() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions) > 0
}
