package smtppool

import (
	"errors"
	"time"
)

// A roster is the set of sessions of a relay, by state. The mutex of the pool guards the roster.
//
// A session is connecting, then busy or idle, then leaving. A session without a connection is removed before its
// goroutine ends.
type roster struct {
	running    int                   // goroutines of sessions
	sessions   map[*session]struct{} // connected or connecting
	connecting int                   // sessions that are connecting
	greeted    int                   // sessions with a greeting of the relay
	leaving    int                   // sessions that take no more offers
	idle       []*session            // connected sessions without work, the longest idle first
	redialed   time.Time             // last time that redial dropped connections; zero: never
}

func newRoster() roster { return roster{sessions: make(map[*session]struct{})} }

// count returns the number of sessions that are connected or connecting.
func (r *roster) count() int { return len(r.sessions) }

// connected returns the number of sessions with a connection.
func (r *roster) connected() int { return len(r.sessions) - r.connecting }

// staying returns the number of sessions that take more offers.
func (r *roster) staying() int { return len(r.sessions) - r.leaving }

// add adds a session that is about to connect.
func (r *roster) add(s *session) {
	r.sessions[s] = struct{}{}
	r.running++
	r.connecting++
}

// greet records that the relay has sent a greeting to s.
func (r *roster) greet(s *session) {
	s.greeted = true
	r.greeted++
}

// leave records that s takes no more offers.
func (r *roster) leave(s *session) {
	s.leaving = true
	r.leaving++
}

// remove removes a session without a connection.
func (r *roster) remove(s *session) {
	delete(r.sessions, s)
	if s.greeted {
		s.greeted = false
		r.greeted--
	}
}

// end removes a session whose goroutine ends.
func (r *roster) end(s *session) {
	r.running--
	r.remove(s)
	if s.leaving {
		r.leaving--
	}
}

// park adds s to the idle sessions.
func (r *roster) park(s *session) { r.idle = append(r.idle, s) }

// takeIdle removes and returns the session that was idle for the shortest time, or nil.
func (r *roster) takeIdle() *session {
	if len(r.idle) == 0 {
		return nil
	}
	last := len(r.idle) - 1
	s := r.idle[last]
	r.idle = r.idle[:last]
	return s
}

// unpark removes s from the idle sessions. unpark returns false if s is not idle.
func (r *roster) unpark(s *session) bool {
	for i, other := range r.idle {
		if other == s {
			r.idle = append(r.idle[:i], r.idle[i+1:]...)
			return true
		}
	}
	return false
}

// dismissIdle ends all idle sessions.
func (r *roster) dismissIdle() {
	for _, s := range r.idle {
		r.leave(s)
		s.hand <- nil
	}
	r.idle = nil
}

// cut closes the connections of all sessions at once.
func (r *roster) cut(cause error) {
	for s := range r.sessions {
		s.cut(cause)
	}
}

// cutConnecting stops the sessions that are connecting.
func (r *roster) cutConnecting(cause error) {
	for s := range r.sessions {
		if s.conn == nil {
			s.cut(cause)
		}
	}
}

// redialPause is the least time between two calls of redial that have an effect: frequent flushes leave a slow relay
// the time to answer.
const redialPause = 5 * time.Second

// errRedial is the cause for a connection that redial drops.
var errRedial = errors.New("a flush dropped the connection before the relay was ready")

// redial drops the connections that wait for the relay: for the connection, the greeting, a reply to EHLO or the login.
func (r *roster) redial(now time.Time) {
	if r.redialed.IsZero() || now.Sub(r.redialed) >= redialPause {
		r.redialed = now
		r.cutConnecting(errRedial)
	}
}
