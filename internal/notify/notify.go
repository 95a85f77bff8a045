// Package notify puts delivery status notifications (RFC 3464), or reports for short, into a spool, where the reports
// are messages like any other. Reports are made in batches, in the background, with retries, and also after a restart.
//
// The report on a message in failed/ is made from the files there, so that only a name has to be remembered:
// ReportsOwed of spooldir returns the messages without a report after a crash. A crash can cause a second report, but
// never a missing report.
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
	firstRetry = 10 * time.Second // delay of a failed report; doubled for each failure
	lastRetry  = 10 * time.Minute
	pause      = 2 * time.Second // delay of all reports after an error, because the cause is likely the disk
	maxBatch   = 64              // maximum reports of a batch; each report holds a file open
)

// A Notifier makes the reports of a spool. Its methods are for one goroutine.
type Notifier struct {
	Postmaster string // gets reports on mail of the null sender; empty: no reports on such mail. Set while not Busy

	dir  *spooldir.Dir
	host string

	jobs    *pqueue.Queue[*job]
	owed    map[string]bool // names in failed/ that have a job
	count   int
	busy    bool
	paused  time.Time // no batch starts before, after an error
	failing bool      // the last report failed, and Finish has returned the error as the first
	done    chan []Outcome
}

// job is a requested report.
type job struct {
	name   string
	id     spooldir.ID    // version of the message in the spool
	notice *record.Notice // nil: the message is in failed/, and the why-file has the notice
	tag    any
	order  int
	due    time.Time
	delay  time.Duration // delay before the next attempt; zero: no attempt yet
	place  int32
}

// Outcome is the result of one report.
type Outcome struct {
	Name   string         // name of the message; in failed/ if Failed
	Failed bool           // the message is in failed/
	Tag    any            // of Notify
	Notice *record.Notice // notice that needs no more work; nil: the report is still open
	Report string         // name of the report in the spool; empty: no report was put
	Err    error          // error of the report
	Again  bool           // the report will be tried again

	job *job
}

// New returns a Notifier for dir. host is the reporting host.
func New(dir *spooldir.Dir, host string) *Notifier {
	d := &Notifier{dir: dir, host: host, owed: make(map[string]bool), done: make(chan []Outcome, 1)}
	d.jobs = pqueue.New(func(a, b *job) bool {
		if !a.due.Equal(b.due) {
			return a.due.Before(b.due)
		}
		return a.order < b.order
	}, func(j *job) *int32 { return &j.place })
	return d
}

// Owe requests a report on the message name in failed/, unless the report is requested already.
func (d *Notifier) Owe(name string, now time.Time) {
	if !d.owed[name] {
		d.owed[name] = true
		d.add(&job{name: name, due: now})
	}
}

// Notify requests a report on the version id of the message name in the spool. No report is made if the message then
// has another version or is gone. The Outcome has the tag.
func (d *Notifier) Notify(name string, id spooldir.ID, n record.Notice, tag any, now time.Time) {
	d.add(&job{name: name, id: id, notice: &n, tag: tag, due: now})
}

func (d *Notifier) add(j *job) {
	d.count++
	j.order, j.place = d.count, -1
	d.jobs.Push(j)
}

// Wait returns the time until the next report. Zero: call Start now. Negative: there is no report, or a batch is
// running.
func (d *Notifier) Wait(now time.Time) time.Duration {
	if d.busy || d.jobs.Len() == 0 {
		return -1
	}
	return max(0, d.jobs.Top().due.Sub(now), d.paused.Sub(now))
}

// Busy reports whether a batch is running.
func (d *Notifier) Busy() bool { return d.busy }

// Start makes all due reports in the background, and then calls notify in the background goroutine. Done has the
// outcomes.
func (d *Notifier) Start(now time.Time, notify func()) {
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
		d.done <- d.make(batch, now) // never blocks: there is one batch at a time, and the channel has a buffer of one
		notify()
	}()
}

// Done returns the channel of outcomes. Call Finish for each outcome of a batch, and Finished once.
func (d *Notifier) Done() <-chan []Outcome { return d.done }

// Finished ends the batch whose outcomes were taken from Done.
func (d *Notifier) Finished() { d.busy = false }

// Finish takes an outcome. first is true for the first error of a series, recovered for the success that ends the
// series.
func (d *Notifier) Finish(o Outcome, now time.Time) (first, recovered bool) {
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

// make makes a batch of reports. It runs in the background and does not change d.
func (d *Notifier) make(batch []*job, now time.Time) []Outcome {
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

// errNone marks a report that does not go into the spool.
var errNone = errors.New("no report")

// conclude sets the fields of an outcome that depend on its error, and removes the mark of an owed report.
func (d *Notifier) conclude(o *Outcome) {
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

// hopeless reports whether another attempt would fail too.
func hopeless(err error) bool {
	for _, e := range []error{errBroken, msgfile.ErrUnusable, message.ErrHeaderTooLong, spooldir.ErrNotRegular} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
