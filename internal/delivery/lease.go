package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
)

// Lease is the right to offer one message to relays of one route.
type Lease struct {
	route  *route
	relays []*member // in order of preference
	began  time.Time
	large  bool
}

// Release gives the relays back unused.
func (l *Lease) Release() {
	for _, m := range l.relays {
		m.Release()
	}
}

// Begin says that a message will be offered, which is large or not. Settle ends the lease.
func (l *Lease) Begin(large bool) {
	l.large = large
	l.count(1)
}

func (l *Lease) count(n int) {
	l.route.busy += n
	if l.large {
		l.route.large += n
	}
}

// Result is what an attempt came to.
type Result struct {
	Lease    *Lease
	Outcomes []attempt.Outcome // one for each recipient; none if the message was not offered

	failed []Failure // relays that could not be used
	served *member   // the relay that could; nil: none
}

// Failure is why a relay could not be used.
type Failure struct {
	Relay string
	Err   error
	Until time.Time // when the relay is tried again, at the earliest

	member *member
	op     attempt.Op
}

// Offer offers t to the relays in turn, until one can be used. It does not block. Done is called once, from any
// goroutine, and must not block. When ctx ends, the attempt ends soon.
func (l *Lease) Offer(ctx context.Context, t *Transaction, done func(Result)) {
	l.offer(ctx, t, Result{Lease: l}, 0, done)
}

func (l *Lease) offer(ctx context.Context, t *Transaction, r Result, next int, done func(Result)) {
	m := l.relays[next]
	m.Item.start(ctx, t, func(outcomes []attempt.Outcome) {
		r.Outcomes = complete(outcomes, len(t.To), m.Item.name)
		failure := relayFault(r.Outcomes)
		if failure == nil {
			if heard(r.Outcomes) {
				r.served = m
			}
			done(r)
			return
		}
		r.failed = append(r.failed, Failure{Relay: m.Item.name, Err: failure.Err, member: m, op: failure.Op})
		if next+1 < len(l.relays) {
			l.offer(ctx, t, r, next+1, done)
			return
		}
		done(r)
	})
}

// complete returns one outcome for each of n recipients, each with the name of a relay.
func complete(outcomes []attempt.Outcome, n int, relay string) []attempt.Outcome {
	for len(outcomes) < n {
		err := errors.New("the transport gave no result")
		outcomes = append(outcomes, attempt.Outcome{Fault: attempt.Message, Err: err})
	}
	outcomes = outcomes[:n]
	for i := range outcomes {
		if outcomes[i].Relay == "" {
			outcomes[i].Relay = relay
		}
	}
	return outcomes
}

// relayFault returns the outcome that says why the relay could not be used; nil: it could.
func relayFault(outcomes []attempt.Outcome) *attempt.Outcome {
	for i := range outcomes {
		if outcomes[i].Err == nil || outcomes[i].Fault != attempt.Relay {
			return nil
		}
	}
	if len(outcomes) == 0 {
		return nil
	}
	return &outcomes[0]
}

// heard reports whether the relay took part in the transaction: for some recipient there is an acceptance, or a failure
// other than that the message was not offered.
func heard(outcomes []attempt.Outcome) bool {
	return slices.ContainsFunc(outcomes, func(o attempt.Outcome) bool {
		return o.Err == nil || o.Fault != attempt.None
	})
}

// Settled is what an attempt changed.
type Settled struct {
	Down     []Failure // relays that cannot be used from now on
	Up       []string  // relays that can be used again
	Stumbled bool      // a relay failed in the middle of the transaction
}

// Settle ends the lease of r. Suspect is when the relay last failed in the middle of a transaction of the message;
// zero: never. If other mail got through since, a second such failure is the fault of the message, and the outcomes
// of r say so from here on.
func (d *Delivery) Settle(r *Result, suspect, now time.Time) (s Settled) {
	l := r.Lease
	l.count(-1)
	s.Stumbled = r.stumbled()
	if s.Stumbled && !suspect.IsZero() && l.route.served.After(suspect) {
		for i := range r.Outcomes {
			if r.Outcomes[i].Fault == attempt.Relay {
				r.Outcomes[i].Fault = attempt.Message
			}
		}
		r.failed, s.Stumbled = nil, false
	}
	if m := r.served; m != nil && !m.Item.retired {
		l.route.served = now
		if m.Back() {
			s.Up = append(s.Up, m.Item.name)
		}
	}
	for _, f := range r.failed {
		if !f.member.Item.retired && f.member.Trouble(f.Err, l.began, now, d.config.Jitter) {
			f.Until = f.member.Until()
			s.Down = append(s.Down, f)
		}
	}
	l.Release()
	return s
}

// stumbled reports whether the last relay failed in the middle of the transaction, when it knew of the message.
func (r *Result) stumbled() bool {
	if len(r.failed) == 0 {
		return false
	}
	switch r.failed[len(r.failed)-1].op {
	case attempt.OpDial, attempt.OpGreeting, attempt.OpEHLO, attempt.OpTLS, attempt.OpAuth:
		return false
	}
	return true
}
