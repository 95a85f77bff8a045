// Package collector counts the events of a spool in this process, keeps the history of the last hours for the page, and
// writes the state file (package daemonstate) for other programs.
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
	"strings"
	"sync"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/asyncfile"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	fast  = 2 * time.Second        // between two looks at an active spool
	slow  = 30 * time.Second       // between two looks at a spool where nothing happens
	quiet = daemonstate.Quiet      // the same, of an idle spool; also between two writes of the time of its file
	pace  = 5 * time.Second        // between two writes of figures that are not urgent
	alive = 25 * time.Second       // between two writes of the time of the file
	early = 50 * time.Millisecond  // between the first looks, until the spool runs
	after = 200 * time.Millisecond // from a nudge to the look
	brief = 250 * time.Millisecond // the wait of Last for a look
)

// Options are the settings of a Collector. All but Rate, Rewrite and Keep are required.
type Options struct {
	Dir     string                  // of the spool
	Health  func() spoolgore.Health // of the running spool
	Version string                  // of the program
	Rate    string                  // the limits in force; empty: none
	Rewrite spoolgore.Rewrite       // in force
	Keep    int                     // minutes to remember; zero: none
	Log     *slog.Logger
	OnLook  func(spoolgore.Health) // gets the result of each look, and must not block; nil: none
}

// A Collector watches one spool. Methods except Run may be called from any goroutine.
type Collector struct {
	opts    Options
	path    string
	fs      fsys.FS // of the spool
	started time.Time
	woken   chan struct{} // with room for one wake-up
	asked   chan struct{} // with room for one request for a look at once
	file    *asyncfile.File
	touch   bool // replace sets only the time, because the content has not changed

	mu      sync.Mutex
	counts  Counts
	recent  window
	active  bool // there were events since the last look
	last    Snapshot
	looked  chan struct{} // closed at the next look
	past    history
	written daemonstate.State // as last written, or being written; without Written
	tried   time.Time         // when a write was last begun
	wrote   bool              // the last write succeeded
	ours    bool              // the file was written once
}

// Counts are recipients since the start.
type Counts struct {
	Sent     uint64 // accepted by a relay
	Deferred uint64 // put off, with an attempt counted
	Failed   uint64 // given up
}

// A Snapshot is the result of one look at the spool.
type Snapshot struct {
	At time.Time // zero: the spool has not run yet
	spoolgore.Health
	Counts
	Latency   daemonstate.Latency // of a fleet
	PerMinute float64             // recipients accepted a minute, over the last five minutes, or since the start
	Speed     float64             // the same, without the time when no mail was accepted for a minute

	Rewrite spoolgore.Rewrite // other senders and recipients
}

// New returns a Collector that counts from now on.
func New(o Options) *Collector {
	c := &Collector{opts: o, path: filepath.Join(o.Dir, daemonstate.Name), fs: fsys.System(), started: time.Now(),
		woken: make(chan struct{}, 1), asked: make(chan struct{}, 1), looked: make(chan struct{})}
	if dir, err := spooldir.New(o.Dir); err == nil {
		c.path, c.fs = dir.File(daemonstate.Name), dir.FS()
	}
	c.recent.began = c.started
	c.past.limit = o.Keep
	c.file = asyncfile.New(c.path, c.replace)
	return c
}

// Started is when New was called.
func (c *Collector) Started() time.Time { return c.started }

// Observe is an OnEvent for the spool that never blocks.
func (c *Collector) Observe(ev spoolgore.Event) {
	c.mu.Lock()
	switch {
	case ev.Kind == spoolgore.EventSent:
		c.counts.Sent++
		c.recent.add(ev.Time)
	case ev.Kind == spoolgore.EventFailed:
		c.counts.Failed++
	case ev.Kind == spoolgore.EventDeferred && ev.Fault != spoolgore.FaultRelay && ev.Fault != spoolgore.FaultNone:
		c.counts.Deferred++
	}
	wasActive := c.active
	c.active = true
	c.mu.Unlock()
	if !wasActive {
		c.wakeLoop()
	}
}

// Set sets the rate limits, and other senders and recipients, for the state file.
func (c *Collector) Set(rate string, w spoolgore.Rewrite) {
	c.mu.Lock()
	c.opts.Rate, c.opts.Rewrite = rate, w
	c.mu.Unlock()
	c.Wake()
}

// Wake makes the Collector look soon, and once more, for changes without an event.
func (c *Collector) Wake() {
	c.mu.Lock()
	c.active = true
	c.mu.Unlock()
	c.wakeLoop()
}

func (c *Collector) wakeLoop() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// Last returns the last snapshot. It is at most two seconds old, unless the loop of the spool hangs.
func (c *Collector) Last() Snapshot {
	c.mu.Lock()
	last, looked := c.last, c.looked
	c.mu.Unlock()
	if last.At.IsZero() || time.Since(last.At) < fast {
		return last
	}
	select {
	case c.asked <- struct{}{}:
	default:
	}
	timer := time.NewTimer(brief)
	defer timer.Stop()
	select {
	case <-looked:
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// PerMinute returns the recipients accepted a minute, as of the last look or later, and does not ask the spool.
func (c *Collector) PerMinute() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.perMinute(time.Now())
}

// Past returns the history, a minute each, oldest first.
func (c *Collector) Past() []Minute {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.past.all()
}

// Run watches the spool until ctx ends, and then removes the state file: a state file is that of a running daemon, or
// of a killed one.
func (c *Collector) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	for {
		soon := false
		select {
		case <-ctx.Done():
			c.end()
			return
		case <-c.woken:
			soon = true
		case <-c.asked:
		case w := <-c.file.Done():
			c.finish(w)
			if at := time.Now().Add(slow); w.Err() != nil && at.Before(due) { // also of an idle spool
				due = at
				timer.Reset(slow)
			}
			continue
		case <-timer.C:
		}
		if wait := c.wait(time.Now()); soon && wait > 0 {
			if at := time.Now().Add(wait); at.Before(due) { // many wake-ups must not put the look off
				due = at
				timer.Reset(wait)
			}
			continue
		}
		wait := c.look()
		due = time.Now().Add(wait)
		timer.Reset(wait)
	}
}

// wait is how long a nudge has to wait.
func (c *Collector) wait(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.At.IsZero() || now.Sub(c.last.At) >= fast {
		return after
	}
	return max(after, fast-now.Sub(c.last.At))
}

// look takes a snapshot and returns the time to the next one.
func (c *Collector) look() time.Duration {
	h := c.opts.Health()
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !h.Running {
		return early // the spool has not started, or has just ended
	}
	if c.opts.OnLook != nil {
		c.opts.OnLook(h)
	}
	active := c.active || moves(h)
	c.active = false
	c.last = Snapshot{At: now, Health: h, Counts: c.counts, PerMinute: c.recent.perMinute(now),
		Speed:   c.recent.speed(now),
		Rewrite: c.opts.Rewrite}
	close(c.looked)
	c.looked = make(chan struct{})
	next := c.past.add(c.last)
	wait := c.write(now)
	switch {
	case active:
		return fast
	case c.opts.Keep > 0:
		return min(wait, max(0, next.Sub(now)))
	}
	return wait
}

// moves reports whether there is activity that may come without events.
func moves(h spoolgore.Health) bool {
	for _, r := range h.Relays {
		if r.Connections > 0 {
			return true
		}
	}
	return h.InFlight > 0
}

// write starts to write the state file, if it is time. It returns the time until a change that has to wait is due.
func (c *Collector) write(now time.Time) (due time.Duration) {
	state := c.last.state(c)
	age, alive, slow := now.Sub(c.tried), alive, slow
	if state.Idle {
		alive, slow = quiet, quiet
	}
	same := c.wrote && reflect.DeepEqual(state, c.written)
	switch {
	case c.last.Away: // never into another directory that has taken the place of the spool
		return slow
	case c.file.Busy():
		return pace
	case same && age < alive:
		return min(slow, alive-age)
	case !same && c.wrote && age < pace && urgentPart(state) == urgentPart(c.written):
		return pace - age
	}
	c.written, c.tried, c.touch = state, now, same
	state.Written = now
	c.file.Start(false, func(w io.Writer) error { return daemonstate.Write(w, state) }, func() {})
	return slow
}

// urgentPart returns the part of the state that is written at once.
func urgentPart(s daemonstate.State) string {
	text := s.Trouble
	if s.Paused {
		text += " paused"
	}
	for _, r := range s.Relays {
		text += "\n" + r.Name + " " + r.Senders + " " + r.Trouble + " " + strings.Join(r.Learnt, "; ")
	}
	return text
}

// replace writes the file or, if only the time has changed, sets its time.
func (c *Collector) replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	if info, err := c.fs.Lstat(path); c.touch && err == nil && info.Mode().IsRegular() {
		if err := c.fs.Touch(path); err == nil {
			return nil
		}
	}
	return spooldir.WriteFileOn(c.fs, path, perm, write)
}

// finish takes the result of a write. A failure is harmless.
func (c *Collector) finish(w asyncfile.Written) {
	err, recovered := c.file.Finish(w, time.Now())
	c.mu.Lock()
	c.wrote, c.ours = (w.Err() == nil), c.ours || (w.Err() == nil)
	c.mu.Unlock()
	if err != nil {
		c.opts.Log.Error("file cannot be written; retrying", "file", daemonstate.Name, "err", err)
	}
	if recovered {
		c.opts.Log.Info("file can be written again", "file", daemonstate.Name)
	}
}

// end removes the file, unless another daemon has written it.
func (c *Collector) end() {
	if c.file.Busy() {
		c.finish(<-c.file.Done())
	}
	if s, ok, _ := daemonstate.Read(c.opts.Dir); !ok || !c.ours || s.PID != os.Getpid() {
		return
	}
	if err := c.fs.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.opts.Log.Error("state file cannot be removed; its content is outdated", "file", daemonstate.Name, "err", err)
	}
}

// state returns the content of the state file for r.
func (r *Snapshot) state(c *Collector) daemonstate.State {
	s := daemonstate.State{
		Idle: r.Files == 0 && r.PerMinute == 0 && r.Trouble == "",
		PID:  os.Getpid(), Version: c.opts.Version, Started: c.started, Paused: r.Paused, Trouble: r.Trouble,
		Sent: r.Sent, Deferred: r.Deferred, Failed: r.Failed, PerMinute: r.PerMinute, Speed: r.Speed,
		Rate: c.opts.Rate, RateWait: r.RateWait, RateWaits: r.RateWaits,
		Redirect: r.Rewrite.Redirect, Allow: r.Rewrite.Allow,
	}
	for _, relay := range r.Relays {
		s.Connections += relay.Connections
		s.Idle = s.Idle && relay.Connections == 0 && relay.Trouble == ""
		s.Relays = append(s.Relays, daemonstate.Relay{
			Name: relay.Name, Senders: relay.Senders, Connections: relay.Connections, Limit: relay.Limit,
			Slowed: relay.Slowed, Pace: relay.Pace, Reply: relay.Reply, Learnt: relay.Learnt,
			Trouble: relay.Trouble, Since: relay.Since, RestsUntil: relay.RestsUntil,
		})
	}
	return s
}
