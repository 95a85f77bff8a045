// Package collector keeps a finger on a spool that is run in this process: it counts what comes of its mail, remembers how it
// went in the last hours, and writes down in the spool (package vitals) what other programs may want to know.
package collector

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/asyncfile"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	fast  = 2 * time.Second        // between two looks at a spool in which something moves
	slow  = 30 * time.Second       // and at one in which nothing does
	pace  = 5 * time.Second        // between two writes of the file that only bring its numbers up to date
	alive = 25 * time.Second       // after which the file is to show that all still holds
	early = 50 * time.Millisecond  // between the first looks, until the spool runs
	after = 200 * time.Millisecond // from a nudge to the look
)

// Options are what a Pulse needs; all of it is required but for Rate and Keep.
type Options struct {
	Dir     string                  // of the spool
	Health  func() spoolgore.Health // of the spool that runs
	Version string                  // of the program
	Rate    string                  // the limits in force; empty: none
	Keep    int                     // minutes to remember; zero: none
	Log     *slog.Logger
}

// Pulse watches one spool. Observe and what tells of it may be called from any goroutine.
type Pulse struct {
	opts    Options
	path    string
	started time.Time
	nudged  chan struct{} // has room for one
	file    *asyncfile.File
	touch   bool // for replace: the file says all that there is to say

	mu     sync.Mutex
	counts Counts
	recent window
	stirs  bool // there were events since the last look
	last   Reading
	past   history
	signs  daemonstate.State // as last written, or being written; without Written
	tried  time.Time         // when a write was last begun
	wrote  bool              // that went well
	ours   bool              // the file was written once
}

// Counts are recipients since the start.
type Counts struct {
	Sent     uint64 // accepted by a relay
	Deferred uint64 // put off, with an attempt counted
	Failed   uint64 // given up
}

// Reading is what was seen at one look.
type Reading struct {
	At time.Time // zero: the spool has not run yet
	spoolgore.Health
	Counts
	PerMinute float64 // recipients accepted a minute, over the last five minutes, or since the start
}

// New returns a pulse that counts from now on.
func New(o Options) *Pulse {
	p := &Pulse{opts: o, path: filepath.Join(o.Dir, daemonstate.Name), started: time.Now(), nudged: make(chan struct{}, 1)}
	p.recent.began = p.started
	p.past.limit = o.Keep
	p.file = asyncfile.New(p.path, p.replace)
	return p
}

// Started is when New was called.
func (p *Pulse) Started() time.Time { return p.started }

// Observe is for Options.OnEvent of the spool. It never waits.
func (p *Pulse) Observe(ev spoolgore.Event) {
	p.mu.Lock()
	switch {
	case ev.Kind == spoolgore.EventSent:
		p.counts.Sent++
		p.recent.add(ev.Time)
	case ev.Kind == spoolgore.EventFailed:
		p.counts.Failed++
	case ev.Kind == spoolgore.EventDeferred && ev.Fault != spoolgore.FaultRelay && ev.Fault != spoolgore.FaultNone:
		p.counts.Deferred++
	}
	stirred := p.stirs
	p.stirs = true
	p.mu.Unlock()
	if !stirred {
		p.nudge()
	}
}

// SetRate says that other limits are in force.
func (p *Pulse) SetRate(rate string) {
	p.mu.Lock()
	p.opts.Rate = rate
	p.mu.Unlock()
	p.Nudge()
}

// Nudge has the pulse taken soon, and once more, as something may change of which no event tells.
func (p *Pulse) Nudge() {
	p.mu.Lock()
	p.stirs = true
	p.mu.Unlock()
	p.nudge()
}

func (p *Pulse) nudge() {
	select {
	case p.nudged <- struct{}{}:
	default:
	}
}

// Last is what was seen last. It is never older than half a minute, unless the loop of the spool hangs.
func (p *Pulse) Last() Reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Past is what was remembered, a minute each, the oldest first.
func (p *Pulse) Past() []Minute {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.past.all()
}

// Run watches until ctx ends, and then takes the file away: whoever finds one finds a daemon, or one that was killed.
func (p *Pulse) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		soon := false
		select {
		case <-ctx.Done():
			p.end()
			return
		case <-p.nudged:
			soon = true
		case w := <-p.file.Done():
			p.told(w)
			continue
		case <-timer.C:
		}
		if wait := p.wait(time.Now()); soon && wait > 0 {
			timer.Reset(wait)
			continue
		}
		timer.Reset(p.look())
	}
}

// wait is how long a nudge has to wait.
func (p *Pulse) wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.At.IsZero() || now.Sub(p.last.At) >= fast {
		return after
	}
	return max(after, fast-now.Sub(p.last.At))
}

// look takes the pulse and returns the time to the next one.
func (p *Pulse) look() time.Duration {
	h := p.opts.Health()
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !h.Running {
		return early // it has yet to start, or has just ended
	}
	stirs := p.stirs || moves(h)
	p.stirs = false
	p.last = Reading{At: now, Health: h, Counts: p.counts, PerMinute: p.recent.perMinute(now)}
	next := p.past.note(p.last)
	p.write(now)
	switch {
	case stirs:
		return fast
	case p.opts.Keep > 0:
		return min(slow, max(0, next.Sub(now)))
	}
	return slow
}

// moves reports whether something is under way of which no event may tell.
func moves(h spoolgore.Health) bool {
	for _, r := range h.Relays {
		if r.Connections > 0 {
			return true
		}
	}
	return h.InFlight > 0
}

// write begins to bring the file up to date, if it is time to.
func (p *Pulse) write(now time.Time) {
	signs := p.last.signs(p)
	age := now.Sub(p.tried)
	same := p.wrote && reflect.DeepEqual(signs, p.signs)
	switch {
	case p.file.Busy(), p.last.Away: // never into another directory than the one that is run
		return
	case same && age < alive:
		return
	case !same && p.wrote && age < pace && state(signs) == state(p.signs):
		return
	}
	p.signs, p.tried, p.touch = signs, now, same
	signs.Written = now
	p.file.Start(false, func(w io.Writer) error { return daemonstate.Write(w, signs) }, func() {})
}

// state is what of the signs is news at once.
func state(s daemonstate.State) string {
	text := s.Trouble
	if s.Paused {
		text += " paused"
	}
	for _, r := range s.Relays {
		text += "\n" + r.Name + " " + r.Senders + " " + r.Trouble
	}
	return text
}

// replace writes the file or, when it says already what is to be said, sets its time.
func (p *Pulse) replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	if info, err := os.Lstat(path); p.touch && err == nil && info.Mode().IsRegular() {
		now := time.Now()
		if err := os.Chtimes(path, now, now); err == nil {
			return nil
		}
	}
	return spooldir.WriteFile(path, perm, write)
}

// told takes what came of a write. That it fails is harmless.
func (p *Pulse) told(w asyncfile.Written) {
	err, recovered := p.file.Finish(w, time.Now())
	p.mu.Lock()
	p.wrote, p.ours = (w.Err() == nil), p.ours || (w.Err() == nil)
	p.mu.Unlock()
	if err != nil {
		p.opts.Log.Error("file cannot be written; retrying", "file", daemonstate.Name, "err", err)
	}
	if recovered {
		p.opts.Log.Info("file can be written again", "file", daemonstate.Name)
	}
}

// end removes the file, unless another daemon has written it meanwhile.
func (p *Pulse) end() {
	if p.file.Busy() {
		p.told(<-p.file.Done())
	}
	if s, ok, _ := daemonstate.Read(p.opts.Dir); !ok || !p.ours || s.PID != os.Getpid() {
		return
	}
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.opts.Log.Error("state file cannot be removed; its content is outdated", "file", daemonstate.Name, "err", err)
	}
}

// signs are what the file says of r.
func (r *Reading) signs(p *Pulse) daemonstate.State {
	s := daemonstate.State{
		PID: os.Getpid(), Version: p.opts.Version, Started: p.started, Paused: r.Paused, Trouble: r.Trouble,
		Sent: r.Sent, Deferred: r.Deferred, Failed: r.Failed, PerMinute: r.PerMinute,
		Rate: p.opts.Rate, RateWait: r.RateWait, RateWaits: r.RateWaits,
	}
	for _, relay := range r.Relays {
		s.Connections += relay.Connections
		s.Relays = append(s.Relays, daemonstate.Relay{
			Name: relay.Name, Senders: relay.Senders, Connections: relay.Connections, Limit: relay.Limit, Slowed: relay.Slowed,
			Trouble: relay.Trouble, Since: relay.Since, RestsUntil: relay.RestsUntil,
		})
	}
	return s
}
