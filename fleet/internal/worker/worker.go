// Package worker sends the messages of a fleet: a worker leases messages from the store, offers them to relays by the
// core's delivery, and records the outcomes by the core's rules.
//
//	claim ─▶ loop ─Lease.Offer─▶ delivery ─Result─▶ loop ─settlement─▶ recorder ─▶ store
//	  ▲        │
//	  └────────┘ room, pause, rests of relays, limits of rate, the account
//
// One goroutine, the loop, owns the delivery. Claims, beats and records are made beside the loop.
package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/acceptlog"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/ratelimit"
)

// Options are the settings of a worker. All fields but Account and Journal are required.
type Options struct {
	engine.Options               // of the core; those about files do not count
	Name           string        // of the worker
	Lease          time.Duration // time without a beat after which other workers take the messages
	Account        string        // name of the account at the relays; empty: there is no login
	Journal        string        // directory for acceptances that are not recorded yet; empty: none
}

// counters count recipients since the start.
type counters struct{ sent, deferred, failed atomic.Int64 }

// worker is the state of Run.
type worker struct {
	opts     Options
	store    *store.Leases
	delivery *delivery.Delivery
	clock    clock
	pulse    *pulse
	rules    *rules
	recorder *recorder
	counters counters
	held     held
	journal  *acceptlog.Log
	blind    atomic.Bool // the journal cannot be written
	listed   atomic.Pointer[status]
	unproven atomic.Bool // an acceptance is to be shared: the account was being probed
	halted   atomic.Bool // the fleet is paused

	inbox  inbox
	ctx    context.Context // of reads and records; ends when they are given up
	offers context.Context // of transactions; ends with Grace, by cut
	cut    context.CancelFunc
	limits []ratelimit.Limit
	routes func(sender string) int
	routed func(to string) (route int, ok bool)

	// owned by the loop
	ready    []*job // leased and not begun
	flying   int    // transactions under way
	shown    time.Time
	busy     int // transactions under way, and settlements that are not recorded
	loading  int // messages that are being read
	claiming bool
	resting  time.Time // no claim before
	paused   bool
	latency  daemonstate.Latency
	flushes  int // number of flushes that the worker knows; negative: none yet
	stopping bool
	probing  bool // one message is under way to find out whether an account works
	barred   bool // the account was refused
	sharing  int  // refusals of the account that other workers do not know yet
	after    string
	parking  parking
}

// status is what a worker says of itself with each beat.
type status struct {
	Relays   []relay `json:"relays"`
	Busy     int     `json:"busy"`
	Sent     int64   `json:"sent"`
	Deferred int64   `json:"deferred"`
	Failed   int64   `json:"failed"`
	Rate     string  `json:"rate,omitempty"`

	Latency daemonstate.Latency `json:"latency,omitzero"`
}

type relay struct {
	Name        string    `json:"name"`
	Connections int       `json:"connections"`
	Limit       int       `json:"limit"`
	Trouble     string    `json:"trouble,omitempty"`
	Until       time.Time `json:"until,omitzero"`
}

// Run works until ctx ends. Then it begins no transaction, waits for running ones up to Grace, records all outcomes and
// returns nil. An error means that the worker could not start.
func Run(ctx context.Context, s *store.Leases, o Options) error {
	w := &worker{opts: o, store: s, flushes: -1}
	if o.Rewrite != nil || hasRoute(o) {
		return errors.New("a worker does not rewrite mail: set Options.Rewrite on the hosts")
	}
	var err error
	if w.limits, err = ratelimit.Parse(o.Rate); err != nil {
		return err
	}
	w.inbox.init()
	config := o.Delivery
	config.Grown = func() { w.inbox.post(func() {}) }
	if w.delivery, err = delivery.New(config); err != nil {
		return err
	}
	w.routes, w.routed = config.RouteOf(), config.RouteTo()
	w.parts()
	if err := w.recall(ctx); err != nil {
		return fmt.Errorf("journal of acceptances: %w", err)
	}
	defer w.journal.Close()
	if err := w.pulse.enter(ctx); err != nil {
		return fmt.Errorf("register the worker: %w", err)
	}
	return w.run(ctx)
}

func hasRoute(o Options) bool {
	for _, r := range o.RouteRewrite {
		if r != nil {
			return true
		}
	}
	return false
}

// parts makes the parts of the worker.
func (w *worker) parts() {
	o := w.opts
	look := o.MaxAge
	if o.WarnAfter > 0 && o.Reports {
		look = min(look, o.WarnAfter)
	}
	w.listed.Store(&status{Rate: o.Rate})
	w.pulse = &pulse{
		store: w.store, name: o.Name, lease: o.Lease, look: look, clock: &w.clock,
		status: func() any { return w.listed.Load() },
		heard: func(b store.Beat) {
			w.halted.Store(b.Paused)
			w.inbox.post(func() { w.hear(b) })
		},
	}
	w.rules = &rules{
		maxAge: o.MaxAge, warnAfter: o.WarnAfter, retry: serial(o.Retry), reports: o.Reports, postmaster: o.Postmaster,
		host: msgfile.Host(o.LocalName), name: o.Name, now: w.clock.now,
	}
	w.recorder = &recorder{
		store: w.store, log: o.Logger, limits: w.newLimits, done: w.recorded,
		hurry: func() bool { return w.inbox.idle.Load() },
		short: o.ShortAddresses,
	}
}

// newLimits returns the limits of rate for one statement; nil: there are none.
func (w *worker) newLimits() store.Limits {
	if len(w.limits) == 0 {
		return nil
	}
	return &limits{all: w.limits}
}

// run starts the goroutines, and ends them when ctx ends.
func (w *worker) run(ctx context.Context) error {
	all, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	w.ctx, w.recorder.abort = all, all
	w.offers, w.cut = context.WithCancel(all)
	w.recorder.start()
	helpers, stop := context.WithCancel(all)
	var running sync.WaitGroup
	running.Go(func() { w.pulse.run(helpers) })
	running.Go(func() { listen(w, helpers) })
	running.Go(func() { tidy(w, helpers) })
	w.opts.Logger.Info("worker started", "worker", w.opts.Name, "lease", w.opts.Lease)
	w.loop(ctx)
	give := time.AfterFunc(recordLeases*w.opts.Lease, abort)
	if w.busy > 0 {
		abort() // the time is over
	}
	w.recorder.close()
	stop()
	running.Wait()
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := w.store.Leave(leave, w.pulse.id.Load()); err != nil {
		w.opts.Logger.Warn("worker cannot leave; its leases end by themselves", "err", err)
	}
	give.Stop()
	if w.flying > 0 { // a Transport ignores the end of its context
		go w.delivery.Close()
	} else {
		w.delivery.Close()
	}
	w.opts.Logger.Info("worker ended", "worker", w.opts.Name)
	return nil
}

// recordLeases is the number of leases for which a worker that ends, and has no transaction under way, tries to record
// outcomes. After one lease without the database, other workers have its messages.
const recordLeases = 2

// listen wakes the loop when hosts have put messages. Without notifications, as behind a pooler, the loop looks once a
// second.
func listen(w *worker, ctx context.Context) {
	for ctx.Err() == nil {
		_ = w.store.Listen(ctx, func() { w.inbox.post(func() { w.resting = time.Time{} }) })
		select {
		case <-time.After(listenPause):
		case <-ctx.Done():
		}
	}
}

const (
	listenPause = 5 * time.Second
	pollPause   = time.Second
)

// tidy makes waiting messages ready, ends leases of dead workers, and looks at old messages, once a second.
func tidy(w *worker, ctx context.Context) {
	failing := false
	for {
		more, err := tidyOnce(w, ctx)
		if err != nil && !failing && ctx.Err() == nil {
			w.opts.Logger.Warn("queue cannot be kept in order; retrying", "err", err)
		}
		failing = err != nil
		w.held.reclaim(ctx, w.store, w.pulse.id.Load(), w.clock.now, w.opts.Lease)
		if err == nil && w.pulse.alive() && !w.halted.Load() { // no message is given up in a pause
			claimOld(w, ctx)
		}
		if more {
			continue
		}
		select {
		case <-time.After(pollPause):
		case <-ctx.Done():
			return
		}
	}
}

// tidyTime is the limit for one look at the queue.
const tidyTime = time.Minute

// tidyOnce makes waiting messages ready, and ends leases of dead workers. It reports whether there are more.
func tidyOnce(w *worker, ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	t, err := w.store.Tidy(ctx, w.pulse.mayReap(), w.clock.now().Add(w.opts.Lease/3), w.newLimits())
	if t.Promoted > 0 || t.Reaped > 0 {
		w.inbox.post(func() { w.resting = time.Time{} })
		_ = w.store.Notify(ctx)
	}
	return t.More && err == nil, err
}

// claimOld looks at the age of messages.
func claimOld(w *worker, ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	id := w.pulse.id.Load()
	all, err := w.held.during(func() ([]store.Leased, error) { return w.store.ClaimOld(ctx, id, 50) })
	if err != nil {
		return
	}
	for _, l := range all {
		j, err := newJob(w.ctx, w.store, id, l)
		if err != nil {
			w.inbox.post(func() { w.release(store.Key{ID: l.ID, Lease: l.Lease, Worker: id}) })
			continue
		}
		w.inbox.post(func() { w.busy++ })
		if j.bad != nil {
			w.recorder.add(w.rules.unsendable(j))
		} else {
			w.recorder.add(w.rules.aged(j))
		}
	}
}

// recorded takes a batch that is in the database.
func (w *worker) recorded(batch []*settlement) {
	var events []queue.Event
	due := false
	for _, s := range batch {
		s.job.close()
		w.journal.Drop(s.job.ID)
		w.held.drop(s.job.key())
		events = append(events, s.events...)
		due = due || len(s.reports) > 0 || !s.served && s.change.State == store.Ready
	}
	for _, ev := range events {
		switch ev.Kind {
		case queue.Sent:
			w.counters.sent.Add(1)
		case queue.Deferred:
			w.counters.deferred.Add(1)
		case queue.Failed:
			w.counters.failed.Add(1)
		}
	}
	w.inbox.post(func() {
		w.busy -= len(batch)
		if due || len(w.limits) > 0 {
			w.resting = time.Time{}
		}
		engine.LogEvents(w.opts.Logger, events)
		for _, ev := range events {
			if ev.Kind == queue.Sent {
				w.latency.Observe(ev.Time.Sub(ev.Since))
			}
			w.opts.OnEvent(ev)
		}
	})
}
