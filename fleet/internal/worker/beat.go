package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
)

// pulse keeps a worker registered, and knows whether its leases last.
type pulse struct {
	store  *store.Leases
	name   string
	lease  time.Duration
	look   time.Duration
	clock  *clock
	status func() any       // for people
	heard  func(store.Beat) // called after each beat

	id    atomic.Int64
	mu    sync.Mutex
	began time.Time // first beat of the series without a failure; zero: the last one failed
	last  time.Time // when the last beat that succeeded was sent
	wall  time.Time // the same, by the clock of the host, which goes on while the machine is suspended
	gone  bool      // the database does not know the worker
	epoch int       // number of series of beats in which no lease was lost
	at    time.Time // of the last beat that succeeded, by the clock of the server
}

// enter registers the worker.
func (p *pulse) enter(ctx context.Context) error {
	id, err := p.store.Enter(ctx, p.name, p.lease, p.look)
	if err != nil {
		return err
	}
	p.id.Store(id)
	return p.beat(ctx)
}

// beat says that the worker is alive.
func (p *pulse) beat(ctx context.Context) error {
	sent := time.Now()
	b, err := p.store.Beat(ctx, p.id.Load(), p.status())
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		p.began = time.Time{}
		return err
	case !b.Known:
		p.began, p.gone = time.Time{}, true
		p.epoch++
		return nil
	}
	p.gone = false
	expected := p.clock.now()
	p.clock.set(b.Now)
	slept := b.Now.Sub(p.at) >= p.lease // as a suspended machine, or the clock of the server was set
	if slept || !p.lasts() {
		p.epoch++ // other workers may have the messages that were leased before
	}
	if b.Now.Sub(expected) >= p.lease/3 { // the clock was set, and other workers look dead until their next beat
		p.began = time.Time{}
	}
	p.at = b.Now
	if p.last, p.wall = sent, sent.Round(0); p.began.IsZero() {
		p.began = sent
	}
	p.heard(b)
	return nil
}

// alive reports whether no other worker can have taken the leases of this one. A fifth of the lease is for the way of
// the beat and for the difference of clocks.
func (p *pulse) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lasts()
}

// lasts is alive for a caller with the lock. If the clock of the host is set forward, no lease lasts until the next
// beat.
func (p *pulse) lasts() bool { return max(time.Since(p.last), time.Since(p.wall)) < p.lease*4/5 }

// now returns the number of the present series of beats.
func (p *pulse) now() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch
}

// holds reports whether a lease of the series epoch has lasted all the time, and lasts.
func (p *pulse) holds(epoch int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch == epoch && p.lasts()
}

// mayReap reports whether the worker may end leases of others: it has reached the database for a whole lease. After an
// outage all leases look expired.
func (p *pulse) mayReap() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.began.IsZero() && time.Since(p.began) > p.lease
}

// run beats until ctx ends.
func (p *pulse) run(ctx context.Context) {
	for {
		select {
		case <-time.After(p.lease / 3):
		case <-ctx.Done():
			return
		}
		beat, cancel := context.WithTimeout(ctx, p.lease/3)
		_ = p.beat(beat) // alive and mayReap know
		if p.unknown() {
			_ = p.enter(beat)
		}
		cancel()
	}
}

// unknown reports whether the database has taken the worker for dead.
func (p *pulse) unknown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}
