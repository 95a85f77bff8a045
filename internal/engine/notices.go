package engine

import (
	"path/filepath"
	"time"

	"github.com/unbit/spoolgore/internal/notify"
	"github.com/unbit/spoolgore/internal/queue"
)

// notices has reports made for senders.
type notices struct {
	spool    *spool
	opts     *Options
	notifier *notify.Notifier
	post     func(func())
}

func newNotices(s *spool, opts *Options, host string, post func(func())) *notices {
	return &notices{spool: s, opts: opts, notifier: notify.New(s.dir, host), post: post}
}

// owe asks for a report on the message at path, in failed/.
func (n *notices) owe(path string, now time.Time) { n.notifier.Owe(filepath.Base(path), now) }

// notify requests a report on a message that stays in the spool.
func (n *notices) notify(a queue.Act, now time.Time) {
	n.notifier.Notify(a.Name, idOf(a.Version), *a.Notice, a, now)
}

// start makes the due reports, unless a batch is running.
func (n *notices) start(now time.Time) {
	if n.notifier.Wait(now) == 0 {
		n.notifier.Postmaster = n.opts.Postmaster
		n.notifier.Start(now, func() { n.post(n.take) })
	}
}

// busy reports whether reports are being made.
func (n *notices) busy() bool { return n.notifier.Busy() }

// take hands on the outcomes of a batch.
func (n *notices) take() {
	select {
	case outcomes := <-n.notifier.Done():
		n.finish(outcomes)
	default: // close has taken them
	}
}

func (n *notices) finish(outcomes []notify.Outcome) {
	n.notifier.Finished()
	for _, o := range outcomes {
		n.made(o)
	}
}

// close waits for the running batch of reports.
func (n *notices) close() {
	if n.notifier.Busy() {
		n.finish(<-n.notifier.Done())
	}
}

// wait returns the time until a report is due; negative: none is, or some are being made.
func (n *notices) wait(now time.Time) time.Duration { return n.notifier.Wait(now) }

// waiting reports whether a report is being made or is due.
func (n *notices) waiting(now time.Time) bool { return n.notifier.Busy() || n.notifier.Wait(now) == 0 }

// made takes the outcome of one report: it logs the outcome, and tells the queue about the file of the report.
func (n *notices) made(o notify.Outcome) {
	now, log := time.Now(), n.opts.Logger
	first, recovered := n.notifier.Finish(o, now)
	switch {
	case first && o.Again:
		log.Error("report cannot be made; retrying", "file", o.Name, "err", o.Err)
	case first:
		log.Error("report cannot be made", "file", o.Name, "err", o.Err)
	case recovered:
		log.Info("reports can be made again")
	}
	if o.Report != "" {
		log.Info("report made", "file", o.Name, "to", o.Notice.To, "report", o.Report)
		n.spool.arrived(o.Report)
	}
	if a, ok := o.Tag.(queue.Act); ok && o.Notice != nil {
		a.Notice = o.Notice
		n.spool.queue.Acted(a, queue.Result{}, now)
	}
}

// oweAll requests the reports that the last run on the directory did not make.
func (n *notices) oweAll() {
	if !n.opts.Reports {
		return
	}
	dir := n.spool.dir
	names, err := dir.Failed().ReportsOwed()
	for _, name := range names {
		n.notifier.Owe(name, time.Now())
	}
	if err != nil {
		n.opts.Logger.Error("reports pending but unreadable; retrying at next start", "dir", dir.Path(), "err", err)
	}
}
