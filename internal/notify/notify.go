// Package notify puts reports to senders into a spool, where they are messages like any other: one at a time, in the
// background, again after an error, and over a restart.
//
// What is told of a message in failed/ is read from there, so that a name is all that has to be remembered: spooldir's
// Untold has those of which nothing was told before a crash. A report can be made twice then, never not at all.
package notify

import (
	"errors"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/pile"
	"github.com/unbit/spoolgore/internal/report"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	firstRetry = 10 * time.Second // after an error, for the report that it befell; doubled each time
	lastRetry  = 10 * time.Minute
	rest       = 2 * time.Second // after an error, for all: most likely it is the disk
)

// News is what there is to tell the sender of a message. Of its Report, Host and Date, and what the message itself says
// (Original, EnvID, Full, ORcpt), and Others are filled in, and recipients of whom the sender does not want to hear are left out.
type News struct {
	report.Report
	MessageID string // that the message is sent with, where its header has none
	Total     int    // recipients of the message
}

// Desk makes the reports of a spool. Its methods are for one goroutine.
type Desk struct {
	dir    *spooldir.Dir
	host   string
	decode func(why []byte) (News, error)

	jobs    *pile.Pile[*job]
	owed    map[string]bool // names in failed/ for which there is a job
	count   int
	busy    bool
	rests   time.Time // until then, after an error
	failing bool      // the last report could not be made, and Finish has said so
	done    chan Outcome
}

// job is a report to be made.
type job struct {
	name  string
	id    spooldir.ID // of the message in the spool
	news  *News       // nil: the message is in failed/, and what is beside it says more
	order int
	due   time.Time
	delay time.Duration // to the next try; zero: there was none yet
	place int32
}

// Outcome is what came of one report.
type Outcome struct {
	Name   string      // of the message; in failed/ if Failed
	ID     spooldir.ID // of the message in the spool
	Failed bool
	News   *News  // what is done with, be it told or not; nil: nothing
	Report string // name of the report's file in the spool; empty: there is none, as there is nobody to tell, or nobody any more

	Err   error // why it was not made
	Again bool  // it will be tried again
	job   *job
}

// New returns a desk that speaks for host; decode makes news of what lies beside a message in failed/.
func New(dir *spooldir.Dir, host string, decode func(why []byte) (News, error)) *Desk {
	d := &Desk{dir: dir, host: host, decode: decode, owed: make(map[string]bool), done: make(chan Outcome, 1)}
	d.jobs = pile.New(func(a, b *job) bool {
		if !a.due.Equal(b.due) {
			return a.due.Before(b.due)
		}
		return a.order < b.order
	}, func(j *job) *int32 { return &j.place })
	return d
}

// Owe asks for a report on the message name in failed/, unless one is to be made already.
func (d *Desk) Owe(name string, now time.Time) {
	if !d.owed[name] {
		d.owed[name] = true
		d.add(&job{name: name, due: now})
	}
}

// Tell asks for a report on the version id of the message name in the spool. When it is another one by then, or gone,
// there is none.
func (d *Desk) Tell(name string, id spooldir.ID, news News, now time.Time) {
	d.add(&job{name: name, id: id, news: &news, due: now})
}

func (d *Desk) add(j *job) {
	d.count++
	j.order, j.place = d.count, -1
	d.jobs.Push(j)
}

// Wait is how long it is until there is a report to be made; zero: Start it now; negative: there is none, or one is
// being made.
func (d *Desk) Wait(now time.Time) time.Duration {
	if d.busy || d.jobs.Len() == 0 {
		return -1
	}
	return max(0, d.jobs.Top().due.Sub(now), d.rests.Sub(now))
}

// Busy reports whether a report is being made.
func (d *Desk) Busy() bool { return d.busy }

// Start makes the report that is due in the background; Done tells when it is over.
func (d *Desk) Start(now time.Time) {
	j := d.jobs.Top()
	d.jobs.Remove(j)
	if j.news == nil {
		delete(d.owed, j.name)
	}
	d.busy = true
	go func() { d.done <- d.make(j, now) }() // never blocks: one at a time, and room for its end
}

// Done carries what came of a report that Start has begun, for Finish.
func (d *Desk) Done() <-chan Outcome { return d.done }

// Finish takes what came of a report. First says that its error is the first of a row, recovered that there are no more.
func (d *Desk) Finish(o Outcome, now time.Time) (first, recovered bool) {
	d.busy = false
	if o.Again {
		j := o.job
		j.delay = min(max(2*j.delay, firstRetry), lastRetry)
		j.due, d.rests = now.Add(j.delay), now.Add(rest)
		if j.news != nil || !d.owed[j.name] {
			d.owed[j.name] = d.owed[j.name] || j.news == nil
			d.jobs.Push(j)
		}
	}
	first, recovered = o.Err != nil && (!d.failing || !o.Again), d.failing && o.Report != ""
	d.failing = o.Again || d.failing && !recovered
	return first, recovered
}

// Close waits for the report that is being made.
func (d *Desk) Close() {
	if d.busy {
		<-d.done
		d.busy = false
	}
}

// make makes a report. It runs in the background, and changes nothing of d.
func (d *Desk) make(j *job, now time.Time) Outcome {
	o := Outcome{Name: j.name, ID: j.id, Failed: j.news == nil, job: j}
	o.News, o.Report, o.Err = d.compose(j, now)
	switch {
	case errors.Is(o.Err, errGone):
		o.Err = nil
	case o.Err != nil && !hopeless(o.Err):
		o.News, o.Again = nil, true
		return o
	case o.Err != nil:
		o.News = j.news
	}
	if o.Failed {
		o.Err = errors.Join(o.Err, d.dir.Told(j.name))
	}
	return o
}

// hopeless reports whether another try would come to the same.
func hopeless(err error) bool {
	for _, e := range []error{errBroken, msgfile.ErrUnusable, message.ErrHeaderTooLong, spooldir.ErrNotRegular} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
