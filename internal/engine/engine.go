// Package engine runs a spool: it owns the queue, every goroutine, the timers, the files, the journal and the log. One
// goroutine, the loop in Run, feeds facts to the queue, hands out jobs, and passes acts on. Disk work is done beside
// the loop, many messages at a time, and its outcome comes back to the loop as a fact:
//
//	watcher, scan ─▶ ┌──────┐ ─▶ files.go    open, stat: whether a file is a message
//	commands      ─▶ │ loop │ ─▶ moves.go    remove, move to failed/
//	results       ─▶ │      │ ─▶ journal.go  record an acceptance
//	timer         ─▶ └──────┘ ─▶ sending.go  one attempt: internal/delivery
//	                          ─▶ notices.go  reports to senders
//	                          ─▶ persist.go  status file
//	                          ─▶ pieces.go   works on all messages: snapshot, reload, flush
//	                          ─▶ rate.go     rate file
//	                          ─▶ log.go      events to the log and the application
//
// Each of these parts owns its state. All parts share the spool in spool.go, which holds the queue. The scanner in
// intake.go feeds the queue with files, the opener in open.go loads it, Control has the commands of the application.
//
// The loop makes no system call but for time and channels, except at the start, at the end, and when another directory
// has taken the place of the spool.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// ErrLocked means that another Engine, in this or another process, runs the spool.
var ErrLocked = errors.New("spool is being run already")

// Options are the settings of an Engine. All fields are required, unless said otherwise.
type Options struct {
	StatusFile string        // absolute path
	Freq       time.Duration // time between two scans
	Settle     time.Duration // time without a change after which a file written in place is read
	Temporary  []string      // patterns for names of unfinished files; nil: the default patterns
	MaxAge     time.Duration // age at which a message is given up
	WarnAfter  time.Duration // age at which the sender is told of a delay; zero: never
	Reports    bool          // senders get reports
	PickupDots bool          // lines of pickup files are dot-stuffed
	Retry      record.Rule   // when a recipient is tried again; Backoff is called by the loop only
	Most       int           // recipients of a message; a message with more is given up; zero: no limit
	Rate       string        // limits for the recipients of all mail; empty: none
	Trace      int           // number of outcomes to remember for people; zero: none
	Grace      time.Duration // how long transactions may go on when the context of Run ends
	LocalName  string        // host in reports and Message-IDs; empty: the name of the host
	Logger     *slog.Logger

	ShortAddresses bool              // mail addresses in remembered outcomes are shortened
	OnEvent        func(queue.Event) // called by the loop
	Delivery       delivery.Config   // Grown is filled in

	OnAttempt    OnAttempt        // nil: none
	Postmaster   string           // gets reports on mail of the null sender; empty: no reports on such mail
	Rewrite      *rewrite.Rules   // senders and recipients of all mail; nil: unchanged
	RouteRewrite []*rewrite.Rules // of the routes of Delivery, in step; nil, or missing: Rewrite
}

// OnAttempt is called beside the loop before each attempt. It returns the context of the attempt and a function that
// gets the outcomes.
type OnAttempt func(ctx context.Context, t *delivery.Transaction) (context.Context, func([]attempt.Outcome))

// heed leaves limits of rate to another queue, if messages are handed on.
func (o *Options) heed() {
	if o.Delivery.HandsOn {
		o.Rate = ""
	}
}

// rules returns what the queue needs of o.
func (o *Options) rules() queue.Rules {
	return queue.Rules{
		Freq: o.Freq, Settle: o.Settle, Unused: unused, MaxAge: o.MaxAge, WarnAfter: o.WarnAfter, Reports: o.Reports,
		Retry: o.Retry, Most: o.Most, Routes: len(o.Delivery.Routes), RouteOf: o.Delivery.RouteOf(),
		RouteTo: o.Delivery.RouteTo(), Forbidden: o.Rewrite.Allows(), Postmaster: o.Postmaster,
	}
}

// unused is the time without a change after which a file with a temporary name is read.
const unused = spooldir.TemporaryTime

// Engine is one run of a spool: the loop and its parts. Only Post and Arrived may be called while Run is going on, by
// any goroutine.
type Engine struct {
	opts      *Options // shared with the parts; Reconfigure changes them
	drain     bool
	inbox     *inbox
	spool     *spool
	delivery  *delivery.Delivery
	publisher *publisher
	rate      *rate
	files     *files
	notices   *notices
	moves     *moves
	sender    *sender
	status    *statusWriter
	opener    *opener
	scanner   *scanner
	control   *Control
	pieces    *pieces
	workers   *workers
	abandoned bool // Run has ended before all transactions did
}

// Open locks the spool directory, reads the status file and the journal, and recovers from a crash. With drain, Run
// ends when no message is due. With watch, the system is asked to notify of new files.
func Open(dir *spooldir.Dir, o Options, drain, watch bool) (*Engine, error) {
	o.heed()
	e := &Engine{opts: &o, drain: drain, inbox: newInbox(), spool: &spool{dir: dir, status: o.StatusFile}}
	var err error
	if e.rate, err = newRate(dir, e.opts, e.inbox.post); err != nil {
		return nil, err
	}
	if e.delivery, err = delivery.New(deliveryConfig(o, e.inbox.post)); err != nil {
		return nil, err
	}
	e.makeParts(watch)
	if err := e.opener.open(); err != nil {
		return nil, err
	}
	if err := e.rate.load(); err != nil {
		e.spool.unlock()
		return nil, err
	}
	e.notices.oweAll()
	e.scanner.watch()
	return e, nil
}

// makeParts makes the parts of the engine. A part knows only parts that are made before it.
func (e *Engine) makeParts(watch bool) {
	s, opts, post, host := e.spool, e.opts, e.inbox.post, msgfile.Host(e.opts.LocalName)
	e.pieces, e.workers = &pieces{}, &workers{}
	e.publisher = newPublisher(s.dir, opts)
	e.files = &files{
		spool: s, opts: opts, host: host, post: post, beside: e.workers.do, rules: opts.Rewrite,
		handsOn: opts.Delivery.HandsOn,
	}
	e.notices = newNotices(s, opts, host, post)
	e.moves = newMoves(s, opts, post, e.workers.do, e.notices.owe)
	e.sender = &sender{
		spool: s, opts: opts, delivery: e.delivery, rate: e.rate, files: e.files, host: host, post: post,
		beside: e.workers.do, accepted: e.publisher.sent.Begin,
		pieces: e.pieces, diversions: make(map[int]*diversion),
	}
	e.status = newStatusWriter(s, opts, e.pieces, e.sender.causes, post)
	e.opener = &opener{
		spool: s, opts: opts, status: e.status, files: e.files, notices: e.notices, publisher: e.publisher,
		post: post, busy: e.busy, pieces: e.pieces,
	}
	e.scanner = &scanner{
		spool: s, opts: opts, post: post, files: e.files, adopt: e.opener.adopt,
		working: func() bool { return working(e.opener) }, watching: watch, pieces: e.pieces, moves: e.moves,
	}
	e.control = &Control{
		spool: s, opts: opts, delivery: e.delivery, rate: e.rate, scanner: e.scanner, sender: e.sender, moves: e.moves,
		status: e.status, publisher: e.publisher, post: post, pass: e.pass, pieces: e.pieces,
	}
}

// deliveryConfig returns the settings of the delivery. The delivery wakes the loop when its capacity grows.
func deliveryConfig(o Options, post func(func())) delivery.Config {
	c := o.Delivery
	c.Grown = func() { post(func() {}) }
	return c
}

// Run sends messages until ctx ends or, with drain, until no message is due. The error of a drain is the reason why
// messages could not be sent or recorded.
func (e *Engine) Run(ctx context.Context) error {
	work, cut := context.WithCancel(context.WithoutCancel(ctx)) // transactions outlive ctx by at most Grace
	defer cut()
	listing, stopListing := context.WithCancel(ctx)
	defer stopListing()
	e.sender.ctx, e.scanner.ctx = work, listing
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop, grace, last := ctx.Done(), (<-chan time.Time)(nil), (<-chan time.Time)(nil)
	e.opts.Logger.Info("started", "dir", e.spool.dir.Path())
	for stopping, drained := false, false; !drained && !e.abandoned && (!stopping || e.busy()); {
		select {
		case <-stop: // start no new job; wait for running jobs
			stopping, stop, grace = true, nil, time.After(e.opts.Grace)
			e.delivery.Stop()
			e.opener.stop()
		case <-grace:
			cut()
			e.delivery.Cut(context.Canceled)
			last = time.After(overtime)
		case <-last: // a Transport ignores the end of its context
			e.abandoned = e.sender.busy > 0
		case <-e.inbox.signal:
		case ev, ok := <-e.scanner.events():
			e.scanner.noticed(ev, ok)
		case <-e.scanner.mounts():
			e.scanner.mounted(time.Now())
		case <-timer.C:
		}
		for _, f := range e.inbox.take() {
			f()
		}
		if (e.spool.lost != nil || e.opener.failed != nil) && !stopping { // another process goes on
			stopping, stop, grace = true, nil, time.After(e.opts.Grace)
			e.delivery.Stop()
			e.opener.stop()
		}
		wait := e.step(stopping || e.control.paused)
		if e.pieces.busy() {
			wait = 0
		}
		drained = !stopping && !e.control.paused && e.drained()
		timer.Stop()
		if wait >= 0 {
			timer.Reset(wait)
		}
	}
	return e.finish(ctx)
}

// overtime is how long a transaction may go on when its context has ended.
const overtime = 5 * time.Second

// busy reports whether work is running that must end before Run returns.
func (e *Engine) busy() bool {
	return e.sender.busy > 0 || e.files.busy() || e.moves.busy() || e.scanner.scanning || e.pieces.busy()
}

// Close ends all connections and unlocks the directory. Call Close after Run, or without Run. Close does not wait for
// transactions that Run has abandoned.
func (e *Engine) Close() {
	if e.abandoned {
		go e.delivery.Close()
	} else {
		e.delivery.Close()
	}
	e.opener.stop()
	e.scanner.close()
	e.notices.close()
	e.publisher.sent.Close()
	e.workers.close()
	e.spool.journal.close()
	e.spool.unlock()
}

// step lets the queue decide, and starts the work that follows. It returns the time until the next step; negative:
// until an event comes. In quiet mode, in a pause or at the end, step starts no new work.
func (e *Engine) step(quiet bool) (wait time.Duration) {
	now := time.Now()
	e.spool.journal.advance(now)
	e.pieces.advance()
	if quiet {
		e.pass(now)
		e.moves.write(now)
		return sooner(e.spool.journal.wait(now), e.moves.wait(now))
	}
	e.scanner.retry()
	if !now.Before(e.scanner.next()) && !e.opener.reading() {
		e.scanner.scan(now)
		e.moves.retry = true
	}
	if e.scanner.away() {
		e.pass(now)
		return max(0, e.scanner.next().Sub(now)) // no file of the queue is there
	}
	more := e.spool.queue.Advance(now, e.room(), budget)
	e.pass(now)
	e.publisher.trouble(e.spool.queue.Trouble())
	started := e.sender.start(now)
	e.pass(now)
	e.files.closeUnused(e.sender.busy, now)
	e.status.write(now)
	e.rate.write(now)
	e.moves.write(now)
	if more {
		return 0
	}
	return e.wait(now, started)
}

// budget is the maximum number of decisions of the queue between two looks at new events.
const budget = 100

// pass passes the queue's decisions on.
func (e *Engine) pass(now time.Time) {
	for acts := e.spool.queue.TakeActs(); len(acts) > 0; acts = e.spool.queue.TakeActs() {
		for _, a := range acts {
			switch a.Kind {
			case queue.Open, queue.Stat:
				e.files.add(a)
			case queue.Remove, queue.Fail, queue.Hold:
				e.moves.add(a)
			case queue.Record:
				e.spool.journal.record(a, now)
			case queue.Notify:
				e.notices.notify(a, now)
			}
		}
	}
	e.publisher.publish(e.spool.queue.TakeEvents())
	e.files.start()
	e.moves.start()
	e.spool.journal.start(now)
	e.notices.start(now)
}

// wait returns the time until the next work.
func (e *Engine) wait(now time.Time, started time.Duration) time.Duration {
	wait := e.scanner.next().Sub(now)
	if e.opener.reading() {
		wait = e.opts.Freq // the scan follows the reading
	}
	wait = max(0, wait)
	sooner := func(d time.Duration) {
		if d >= 0 {
			wait = min(wait, d)
		}
	}
	if at, ok := e.spool.queue.Wake(); ok && !e.files.full() {
		sooner(max(0, at.Sub(now)))
	}
	sooner(e.spool.journal.wait(now))
	sooner(e.notices.wait(now))
	sooner(e.status.wait(now))
	sooner(e.moves.wait(now))
	sooner(e.rate.wait(now))
	sooner(started)
	return wait
}

// room returns the free capacity for sending and reading.
func (e *Engine) room() queue.Room {
	return queue.Room{Free: e.delivery.Free(), Busy: e.sender.busy > 0, Reads: e.files.free()}
}

// drained reports whether a drain is complete.
func (e *Engine) drained() bool {
	if !e.drain || e.busy() || e.opener.reading() {
		return false
	}
	if e.scanner.due(time.Now()) || e.inbox.waiting() || e.notices.waiting(time.Now()) {
		return false
	}
	if e.spool.journal.recording() > 0 && !e.spool.journal.failing() {
		return false
	}
	held, _ := e.sender.held(time.Now())
	return e.scanner.away() || held > 0 || e.sender.stuck() || e.spool.queue.Idle(time.Now())
}
