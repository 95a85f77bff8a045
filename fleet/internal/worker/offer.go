package worker

import (
	"context"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/delivery"
)

// largeSize is the size in octets from which a message occupies a connection for long.
const largeSize = 1 << 20

// begin offers a message.
func (w *worker) begin(j *job, route int, lease *delivery.Lease) {
	var wanted func(to string) bool
	if w.routed != nil {
		wanted = func(to string) bool { return w.routeTo(j, to) == route }
	}
	w.busy++
	j.start(w.clock.now(), wanted)
	if len(j.to) == 0 { // all recipients are done, or wait
		lease.Release()
		w.probing = false
		go w.recorder.add(w.rules.aged(j))
		return
	}
	lease.Last = w.clock.local(j.last)
	lease.Begin(j.Size >= largeSize)
	w.flying++
	if j.Size <= store.PieceSize {
		w.offer(j, lease)
		return
	}
	go w.offer(j, lease) // reads the store
}

// offer offers the message to the relays of the lease.
func (w *worker) offer(j *job, lease *delivery.Lease) {
	t, err := j.transaction(func() bool { return w.pulse.holds(j.epoch) })
	if err != nil {
		r := delivery.Result{Lease: lease, Outcomes: make([]attempt.Outcome, len(j.to))}
		for i := range r.Outcomes {
			r.Outcomes[i] = attempt.Outcome{Fault: attempt.None, Withdrawn: true, Err: err}
		}
		w.inbox.post(func() { w.finished(j, r) })
		return
	}
	lease.Offer(w.offers, t, func(r delivery.Result) {
		keep(w, j, r.Outcomes)
		w.inbox.post(func() { w.finished(j, r) })
	})
}

// finished takes the result of a transaction.
func (w *worker) finished(j *job, r delivery.Result) {
	now := time.Now()
	settled := w.delivery.Settle(&r, w.clock.local(j.suspect()), now)
	w.flying--
	heed(w, settled)
	account := refusal(r.Outcomes)
	if w.opts.Account == "" || w.usable(now) >= 0 {
		account = ""
	}
	if account != "" {
		w.barred = true
		w.sharing++
	}
	accepted := false
	for _, o := range r.Outcomes {
		accepted = accepted || o.Err == nil
	}
	go func() {
		judge(w, account, accepted)
		w.recorder.add(w.rules.attempted(j, r.Outcomes, settled.Stumbled))
	}()
}

// refusal returns why a relay refuses the account: the login, or the amount of mail. Another host with the same account
// would be refused, too. Empty: the relay does not.
func refusal(outcomes []attempt.Outcome) string {
	for _, o := range outcomes {
		if o.Fault == attempt.Relay && (o.Op == attempt.OpAuth ||
			o.Cause == attempt.CauseLogin || o.Cause == attempt.CauseQuota) {
			return o.Err.Error()
		}
	}
	return ""
}

// heed logs changes of relays.
func heed(w *worker, settled delivery.Settled) {
	for _, f := range settled.Down {
		w.opts.Logger.Warn("relay unavailable", "relay", f.Relay, "next", f.Until, "err", f.Err)
	}
	for _, name := range settled.Up {
		w.opts.Logger.Info("relay available again", "relay", name)
	}
	for _, x := range settled.Slowed {
		w.opts.Logger.Warn("relay used more slowly", "relay", x.Relay, "reply", x.Reply)
	}
}

// judge shares with the other workers whether the account works.
func judge(w *worker, refused string, accepted bool) {
	if w.opts.Account == "" {
		return
	}
	ctx, cancel := context.WithTimeout(w.ctx, w.opts.Lease)
	defer cancel()
	switch {
	case refused != "":
		_ = w.store.Refused(ctx, w.opts.Account, refused) // otherwise this worker alone leaves the account alone
	case accepted && w.unproven.CompareAndSwap(true, false):
		_ = w.store.Proved(ctx, w.opts.Account)
	}
	w.inbox.post(func() {
		w.probing = false
		if refused != "" {
			w.sharing--
		}
	})
}

// park makes a message wait whose relays rest, although others can be used.
func park(w *worker, j *job, rest time.Duration) {
	w.probing = false // another message shows whether the account works
	w.busy++
	now := w.clock.now()
	later := w.parking.next(now, rest)
	s := &settlement{job: j}
	w.rules.conclude(s, now)
	s.change.State, s.change.Due = store.Waiting, &later
	w.recorder.add(s)
}

// A parking says until when a message is parked. Parked messages come back one after the other: a long backlog of a
// relay that is down would else be claimed and parked all the time, and hold up the mail of the other relays.
type parking struct {
	last time.Time // when the last one comes back
}

const (
	parkTime = 5 * time.Second      // at most, for a few messages: other workers may reach the relay
	parkPace = 2 * time.Millisecond // between two messages
	mostPark = 10 * time.Minute     // at most, for any number of messages
)

// next returns when the next message is due whose relays rest for the time rest.
func (p *parking) next(now time.Time, rest time.Duration) time.Time {
	at := now.Add(min(rest, parkTime))
	if next := p.last.Add(parkPace); next.After(at) {
		at = next
	}
	if most := now.Add(mostPark); at.After(most) {
		at = most
	}
	p.last = at
	return at
}
