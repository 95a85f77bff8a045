package worker

import (
	"context"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/record"
)

// loop runs until ctx has ended and nothing is under way, or what is left cannot be recorded.
func (w *worker) loop(ctx context.Context) {
	ended := ctx.Done()
	var grace, give <-chan time.Time
	for {
		for _, f := range w.inbox.take() {
			f()
		}
		now := time.Now()
		wait := w.start(now)
		w.claim(now)
		show(w)
		if w.stopping && w.busy == 0 && w.loading == 0 && !w.claiming {
			return
		}
		if w.stopping && w.flying == 0 && give == nil {
			give = time.After(recordLeases * w.opts.Lease)
		}
		if claim := w.resting.Sub(now); claim > 0 && (wait < 0 || claim < wait) {
			wait = claim
		}
		var timer <-chan time.Time
		if wait >= 0 {
			timer = time.After(wait)
		}
		select {
		case <-w.inbox.wake:
		case <-timer:
		case <-ended:
			ended, w.stopping = nil, true
			w.releaseAll()
			w.delivery.Stop()
			grace = time.After(w.opts.Grace)
		case <-grace:
			w.cut()
			w.delivery.Cut(errStopped)
			give = time.After(recordLeases * w.opts.Lease)
		case <-give:
			return
		}
	}
}

// show publishes the state for the next beat.
func show(w *worker) {
	if time.Since(w.shown) < showPause {
		return
	}
	w.shown = time.Now()
	s := &status{
		Busy: w.flying, Rate: w.opts.Rate, Sent: w.counters.sent.Load(),
		Deferred: w.counters.deferred.Load(), Failed: w.counters.failed.Load(),
		Latency: w.latency.Clone(),
	}
	for i := range w.delivery.Routes() {
		for _, h := range w.delivery.Health(i) {
			r := relay{Name: h.Name, Connections: h.Connections, Limit: h.Limit}
			if h.Err != nil {
				r.Trouble, r.Until = h.Err.Error(), h.Until
			}
			s.Relays = append(s.Relays, r)
		}
	}
	w.listed.Store(s)
}

// hear takes the answer to a beat.
func (w *worker) hear(b store.Beat) {
	w.paused = b.Paused
	if w.flushes >= 0 && b.Flush != w.flushes {
		w.barred = false
		w.delivery.Wake(time.Now())
		w.resting = time.Time{}
	}
	w.flushes = b.Flush
}

// showPause is the time between two looks at the state, which a beat sends.
const showPause = 200 * time.Millisecond

// ahead is the number of messages that are leased beyond what can be sent at once, so that the connections do not wait
// for a claim.
const ahead = 32

// claim leases messages beside the loop, if there is room.
func (w *worker) claim(now time.Time) {
	w.inbox.idle.Store(w.flying == 0 && len(w.ready) == 0)
	if w.stopping || w.paused || w.claiming || w.probing || w.sharing > 0 || now.Before(w.resting) || !w.pulse.alive() {
		return
	}
	if !w.barred && w.usable(now) < 0 {
		return
	}
	have := len(w.ready) + w.loading
	n := w.delivery.Free() - have
	if len(w.limits) == 0 {
		if have > ahead/2 {
			return
		}
		n += ahead
	}
	if n <= 0 {
		return
	}
	w.claiming = true
	after, ctx := w.after, w.ctx
	go func() {
		c := w.claimNow(ctx, n, after)
		w.inbox.post(func() { w.claimed(c) })
	}()
}

// usable returns the index of a route that can be used now; negative: there is none.
func (w *worker) usable(now time.Time) int {
	for i := range w.delivery.Routes() {
		if w.delivery.Wait(i, now) == 0 {
			return i
		}
	}
	return -1
}

// claims is the result of a claim.
type claims struct {
	worker int64
	epoch  int // of the worker before the claim
	leased []store.Leased
	wait   time.Duration // before the next claim; zero: at once
	how    int           // how the account may be used
	err    error
}

// claimNow leases up to n messages.
func (w *worker) claimNow(ctx context.Context, n int, after string) claims {
	ctx, cancel := context.WithTimeout(ctx, w.opts.Lease)
	defer cancel()
	c := claims{worker: w.pulse.id.Load(), epoch: w.pulse.now(), how: store.Free}
	if w.opts.Account != "" {
		var err error
		if c.how, err = w.store.Admit(ctx, w.opts.Account, c.worker); err != nil {
			return claims{err: err}
		}
		if c.how == store.Resting {
			c.wait = pollPause
			return c
		}
		if c.how == store.Probing {
			n = 1
		}
	}
	l := w.newLimits()
	if l == nil {
		c.leased, c.err = w.held.during(func() ([]store.Leased, error) {
			return w.store.Claim(ctx, c.worker, n, after)
		})
	} else {
		c.leased, c.err = w.held.during(func() ([]store.Leased, error) {
			return w.store.ClaimWithin(ctx, c.worker, n, after, l)
		})
		c.wait = min(l.(*limits).wait, pollPause)
	}
	if c.wait == 0 && len(c.leased) < n {
		c.wait = pollPause
	}
	return c
}

// claimed takes the result of a claim.
func (w *worker) claimed(c claims) {
	w.claiming = false
	w.resting = time.Time{}
	if c.wait > 0 {
		w.resting = time.Now().Add(c.wait)
	}
	if c.err != nil {
		w.opts.Logger.Debug("messages cannot be claimed", "err", c.err)
		w.resting = time.Now().Add(pollPause)
		return
	}
	if w.barred && c.how != store.Resting {
		w.barred = false
		w.delivery.Wake(time.Now())
	}
	if w.probing = c.how == store.Probing && len(c.leased) > 0; w.probing {
		w.unproven.Store(true)
	}
	if len(c.leased) > 0 {
		w.after = c.leased[len(c.leased)-1].Sender
	}
	for _, l := range c.leased {
		w.loading++
		if l.Size <= store.PieceSize {
			load(w, &c, l)()
			continue
		}
		go func() { w.inbox.post(load(w, &c, l)) }() // reads the store
	}
}

// load reads a leased message. The result is for the loop.
func load(w *worker, c *claims, l store.Leased) func() {
	j, err := newJob(w.ctx, w.store, c.worker, l)
	return func() {
		w.loading--
		switch {
		case err != nil || w.stopping:
			w.release(store.Key{ID: l.ID, Lease: l.Lease, Worker: c.worker})
		case j.bad != nil:
			w.probing = false // another message shows whether the account works
			w.busy++
			go w.recorder.add(w.rules.unsendable(j))
		default:
			j.epoch = c.epoch
			w.ready = append(w.ready, j)
		}
	}
}

// release ends leases of messages that were not begun.
func (w *worker) release(keys ...store.Key) {
	if len(keys) == 0 {
		return
	}
	w.probing = false
	w.busy++ // so that the loop does not end before
	go func() {
		ctx, cancel := context.WithTimeout(w.ctx, w.opts.Lease)
		defer cancel()
		if w.store.GiveBack(ctx, keys) != nil {
			w.held.unsure.Store(true) // released later
		}
		w.held.drop(keys...)
		w.inbox.post(func() { w.busy-- })
	}()
}

// releaseAll ends the leases of all messages that were not begun.
func (w *worker) releaseAll() {
	var keys []store.Key
	for _, j := range w.ready {
		keys = append(keys, j.key())
	}
	w.ready = nil
	w.release(keys...)
}

// start begins transactions, as many as there is room for. It returns the time after which to look again; negative: an
// event comes first.
func (w *worker) start(now time.Time) time.Duration {
	wait := time.Duration(-1)
	if len(w.ready) > 0 && w.paused {
		w.releaseAll()
	}
	var left []*job
	var back []store.Key
	for _, j := range w.ready {
		if !w.pulse.holds(j.epoch) { // other workers may have the message already
			back = append(back, j.key())
			continue
		}
		route := w.route(j, now)
		lease, rest := take(w, route, now)
		switch {
		case lease != nil:
			w.begin(j, route, lease)
		case rest == 0: // there is no slot
			left = append(left, j)
		case w.delivery.Routes() == 1:
			back = append(back, j.key()) // other workers may reach the relay
		default:
			park(w, j, rest)
		}
	}
	w.ready = left
	w.release(back...)
	if w.usable(now) < 0 {
		for i := range w.delivery.Routes() {
			if x := w.delivery.Wait(i, now); x > 0 && (wait < 0 || x < wait) {
				wait = x
			}
		}
	}
	return wait
}

// take returns the relays of a route. Without a lease, rest is the time for which no relay can be used; zero: all are
// busy.
func take(w *worker, route int, now time.Time) (lease *delivery.Lease, rest time.Duration) {
	if w.delivery.Slots(route).Any == 0 {
		return nil, 0
	}
	if lease = w.delivery.Take(route, now); lease != nil {
		return lease, 0
	}
	return nil, max(w.delivery.Wait(route, now), 100*time.Millisecond)
}

// route returns the route of a message: that of the first due recipient whose route can be used now, or of the first
// due recipient.
func (w *worker) route(j *job, now time.Time) int {
	first := -1
	if w.routed != nil {
		due := w.clock.now()
		for _, r := range j.record.Recipients() {
			if r.Status != record.Waiting || r.NextAttempt.After(due) {
				continue
			}
			route := w.routeTo(j, r.Address)
			if w.delivery.Wait(route, now) == 0 {
				return route
			}
			if first < 0 {
				first = route
			}
		}
	}
	if first < 0 {
		return w.routes(record.RouteSender(j.record))
	}
	return first
}

// routeTo returns the route of a recipient.
func (w *worker) routeTo(j *job, to string) int {
	if w.routed != nil {
		if i, ok := w.routed(to); ok {
			return i
		}
	}
	return w.routes(record.RouteSender(j.record))
}
