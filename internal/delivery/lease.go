package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/breaker"
)

// Lease is the right to offer one message to relays of one route.
type Lease struct {
	Last time.Time // previous attempt to send the message; zero: none

	route  *route
	relays []*member // in order of preference
	began  time.Time
	large  bool
}

// Release returns the relays without use.
func (l *Lease) Release() {
	for _, m := range l.relays {
		m.Release()
	}
}

// Begin records that a message will be offered. Settle ends the lease.
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

// Result is the result of an attempt.
type Result struct {
	Lease    *Lease
	Outcomes []attempt.Outcome // one for each recipient; none if the message was not offered

	failed []Failure // relays that could not be used
	served *member   // the relay that could; nil: none
}

// Failure is the reason why a relay could not be used.
type Failure struct {
	Relay string
	Err   error
	Until time.Time // when the relay is tried again, at the earliest

	member *member
	op     attempt.Op
	cause  attempt.Cause
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
		r.failed = append(r.failed, Failure{
			Relay: m.Item.name, Err: failure.Err, member: m, op: failure.Op, cause: failure.Cause,
		})
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

// relayFault returns the outcome with the reason why the relay could not be used, or nil. Recipients above the limit of
// a transaction do not count.
func relayFault(outcomes []attempt.Outcome) (fault *attempt.Outcome) {
	for i := range outcomes {
		switch o := &outcomes[i]; {
		case o.Err == nil || o.Fault != attempt.Relay && o.Fault != attempt.None:
			return nil
		case o.Fault == attempt.Relay && fault == nil:
			fault = o
		}
	}
	return fault
}

// heard reports whether the relay took part in the transaction: at least one recipient was offered.
func heard(outcomes []attempt.Outcome) bool {
	return slices.ContainsFunc(outcomes, func(o attempt.Outcome) bool {
		return o.Err == nil || o.Fault != attempt.None
	})
}

// Settled holds the changes after an attempt.
type Settled struct {
	Down     []Failure // relays that cannot be used from now on
	Up       []string  // relays that can be used again
	Slowed   []Slowed  // relays that are used more slowly from now on
	Stumbled bool      // a relay failed in the middle of the transaction
}

// Slowed is a relay that is used more slowly, or in another way, than the settings allow. Either Reply or Limit is set.
type Slowed struct {
	Relay string
	Reply string // reply of the relay that asks for less mail
	Limit string // fact that was learnt about the relay
}

// slowed returns the relays of the lease that are used more slowly than at the last call.
func (l *Lease) slowed() (all []Slowed) {
	for _, m := range l.relays {
		if m.Item.smtp == nil {
			continue
		}
		reply := m.Item.smtp.Use().Slowed
		if reply != "" && !m.Item.slow {
			all = append(all, Slowed{Relay: m.Item.name, Reply: reply})
		}
		m.Item.slow = reply != ""
		if n := m.Item.smtp.Changes(); n != m.Item.changes {
			learnt := m.Item.smtp.Learnt()
			for _, fact := range learnt {
				if !slices.Contains(m.Item.learnt, fact) {
					all = append(all, Slowed{Relay: m.Item.name, Limit: fact})
				}
			}
			m.Item.changes, m.Item.learnt = n, learnt
		}
	}
	return all
}

// shortRest is the limit for the pause of another queue.
const shortRest = 10 * time.Second

// longRest is the limit for the pause of a relay whose quota is used up.
const longRest = time.Hour

// Settle ends the lease of r. suspect is the time when the relay last failed in the middle of a transaction of the
// message; zero: never. If the relay accepted other mail since, a second such failure is the fault of the message.
// Settle changes the outcomes of r accordingly. An undecided refusal counts as an attempt only if the relay accepted
// other mail since the previous attempt.
func (d *Delivery) Settle(r *Result, suspect, now time.Time) (s Settled) {
	l := r.Lease
	l.count(-1)
	s.Stumbled = r.stumbled()
	if s.Stumbled && !suspect.IsZero() && l.route.accepted.After(suspect) {
		for i := range r.Outcomes {
			if o := &r.Outcomes[i]; o.Fault == attempt.Relay {
				o.Fault, o.Permanent = attempt.Message, o.Final
				if o.Cause == attempt.CauseQuota { // a quota may leave room for some messages of each hour
					o.Undecided, o.Throttled = true, true
				}
			}
		}
		r.failed, s.Stumbled = nil, false
	}
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		o.Uncounted = o.Undecided && (o.Throttled || l.Last.IsZero() || !l.route.accepted.After(l.Last))
	}
	if slices.ContainsFunc(r.Outcomes, func(o attempt.Outcome) bool { return o.Err == nil }) {
		l.route.accepted = now
	}
	if m := r.served; m != nil && !m.Item.retired && m.Back() {
		s.Up = append(s.Up, m.Item.name)
	}
	for _, f := range r.failed {
		most := breaker.Most
		if f.cause == attempt.CauseQuota {
			most = longRest
		}
		if d.config.HandsOn {
			most = shortRest
		}
		if f.member.Item.retired {
			continue
		}
		news := f.member.Trouble(f.Err, l.began, now, most, d.config.Jitter)
		f.member.NotBefore(now.Add(r.retryAfter()))
		if news {
			f.Until = f.member.Until()
			s.Down = append(s.Down, f)
		}
	}
	l.Release()
	s.Slowed = l.slowed()
	return s
}

// retryAfter returns the longest time that the relay at fault asks to be left alone; zero: none.
func (r *Result) retryAfter() (longest time.Duration) {
	for _, o := range r.Outcomes {
		if o.Fault == attempt.Relay {
			longest = max(longest, o.RetryAfter)
		}
	}
	return longest
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
