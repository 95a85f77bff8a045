// Package notify puts delivery status notifications (RFC 3464), or reports for short, into a spool, where they are messages
// like any other: many at a time, in the background, again after an error, and over a restart.
//
// The report on a message in failed/ is made from what lies there, so that only a name has to be remembered: ReportsOwed of
// spooldir has the names of messages whose report was not made before a crash. Such a report can be made twice, never not
// at all.
package notify

import (
	"errors"
	"io"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/pqueue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	firstRetry = 10 * time.Second // after an error, for the report that failed; doubled each time
	lastRetry  = 10 * time.Minute
	pause      = 2 * time.Second // after an error, for all: most likely it is the disk
	maxBatch   = 64              // reports that are made together; each holds a file open
)

// Desk makes the reports of a spool. Its methods are for one goroutine.
type Desk struct {
	dir  *spooldir.Dir
	host string

	jobs    *pqueue.Pile[*job]
	owed    map[string]bool // names in failed/ for which there is a job
	count   int
	busy    bool
	paused  time.Time // until then, after an error
	failing bool      // the last report could not be made, and Finish has said so
	done    chan []Outcome
}

// job is a report to be made.
type job struct {
	name   string
	id     spooldir.ID    // version of the message in the spool
	notice *record.Notice // nil: the message is in failed/, and the why-file says more
	tag    any
	order  int
	due    time.Time
	delay  time.Duration // to the next attempt; zero: there was none yet
	place  int32
}

// Outcome is what a report came to.
type Outcome struct {
	Name   string         // of the message; in failed/ if Failed
	Failed bool           // the message is in failed/
	Tag    any            // of Notify
	Notice *record.Notice // what was reported, or need not be reported; nil: neither
	Report string         // name of the report in the spool; empty: there is none, as no one is to be told
	Err    error          // why the report was not made
	Again  bool           // the report will be tried again

	job *job
}

// New returns a Desk that reports in the name of host.
func New(dir *spooldir.Dir, host string) *Desk {
	d := &Desk{dir: dir, host: host, owed: make(map[string]bool), done: make(chan []Outcome, 1)}
	d.jobs = pqueue.New(func(a, b *job) bool {
		if !a.due.Equal(b.due) {
			return a.due.Before(b.due)
		}
		return a.order < b.order
	}, func(j *job) *int32 { return &j.place })
	return d
}

// Owe asks for a report on the message name in failed/, unless there is such a request already.
func (d *Desk) Owe(name string, now time.Time) {
	if !d.owed[name] {
		d.owed[name] = true
		d.add(&job{name: name, due: now})
	}
}

// Notify asks for a report on the version id of the message name in the spool. If the message is another version by then,
// or gone, no report is made. The Outcome carries the tag.
func (d *Desk) Notify(name string, id spooldir.ID, n record.Notice, tag any, now time.Time) {
	d.add(&job{name: name, id: id, notice: &n, tag: tag, due: now})
}

func (d *Desk) add(j *job) {
	d.count++
	j.order, j.place = d.count, -1
	d.jobs.Push(j)
}

// Wait returns the time until a report is due; zero: call Start now; negative: none is, or some are being made.
func (d *Desk) Wait(now time.Time) time.Duration {
	if d.busy || d.jobs.Len() == 0 {
		return -1
	}
	return max(0, d.jobs.Top().due.Sub(now), d.paused.Sub(now))
}

// Busy reports whether reports are being made.
func (d *Desk) Busy() bool { return d.busy }

// Start makes the reports that are due in the background, and then calls notify there. Done has the outcomes.
func (d *Desk) Start(now time.Time, notify func()) {
	var batch []*job
	for d.jobs.Len() > 0 && len(batch) < maxBatch && !d.jobs.Top().due.After(now) {
		j := d.jobs.Top()
		d.jobs.Remove(j)
		if j.notice == nil {
			delete(d.owed, j.name)
		}
		batch = append(batch, j)
	}
	d.busy = true
	go func() {
		d.done <- d.make(batch, now) // never blocks: one batch at a time, and room for its outcomes
		notify()
	}()
}

// Done carries the outcomes of a batch. Call Finish for each, and Finished once.
func (d *Desk) Done() <-chan []Outcome { return d.done }

// Finished says that the outcomes of a batch were taken from Done.
func (d *Desk) Finished() { d.busy = false }

// Finish takes an outcome. First says that its error is the first of a series, recovered that the series has ended.
func (d *Desk) Finish(o Outcome, now time.Time) (first, recovered bool) {
	if o.Again {
		j := o.job
		j.delay = min(max(2*j.delay, firstRetry), lastRetry)
		j.due, d.paused = now.Add(j.delay), now.Add(pause)
		if j.notice != nil || !d.owed[j.name] {
			d.owed[j.name] = d.owed[j.name] || j.notice == nil
			d.jobs.Push(j)
		}
	}
	first, recovered = o.Err != nil && (!d.failing || !o.Again), d.failing && o.Report != ""
	d.failing = o.Again || d.failing && !recovered
	return first, recovered
}

// make makes a batch of reports. It runs in the background, and changes nothing of d.
func (d *Desk) make(batch []*job, now time.Time) []Outcome {
	outcomes := make([]Outcome, len(batch))
	reports := make([]*spooldir.Putting, len(batch))
	for i, j := range batch {
		o := Outcome{Name: j.name, Failed: j.notice == nil, Tag: j.tag, job: j}
		reports[i] = &spooldir.Putting{Err: errNone}
		f, notice, err := d.open(j)
		if o.Notice, o.Err = notice, err; err == nil {
			defer f.Close() // the reports are written below
			var write func(io.Writer) error
			if write, o.Err = compose(d.host, f, *notice, now); o.Err == nil && write != nil {
				reports[i] = &spooldir.Putting{Write: write}
			}
		}
		outcomes[i] = o
	}
	d.dir.PutAll(reports)
	for i, report := range reports {
		o := &outcomes[i]
		if o.Err == nil && report.Err != errNone {
			o.Report, o.Err = report.Name, report.Err
		}
		d.conclude(o)
	}
	return outcomes
}

// errNone marks a report that is not to be put into the spool.
var errNone = errors.New("no report")

// conclude decides what follows from the error of an outcome.
func (d *Desk) conclude(o *Outcome) {
	switch {
	case errors.Is(o.Err, errGone):
		o.Err = nil
	case o.Err != nil && !hopeless(o.Err):
		o.Notice, o.Again = nil, true
		return
	case o.Err != nil:
		o.Notice = o.job.notice
	}
	if o.Failed {
		o.Err = errors.Join(o.Err, d.dir.Failed().ReportMade(o.Name))
	}
}

// hopeless reports whether another attempt would fail, too.
func hopeless(err error) bool {
	for _, e := range []error{errBroken, msgfile.ErrUnusable, message.ErrHeaderTooLong, spooldir.ErrNotRegular} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
