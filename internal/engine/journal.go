package engine

import (
	"log/slog"
	"time"

	"github.com/unbit/spoolgore/internal/journal"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// lazyDelay is the maximum time until a deferred attempt is in the journal, unless the status file has the attempt
// before.
const lazyDelay = time.Second

// journaled keeps acceptances in the journal until they are in the status file. Many acts share one sync.
type journaled struct {
	file    *journal.File
	opts    *Options
	post    func(func())
	acted   func(queue.Act, queue.Result, time.Time)
	waiters []func()      // called in the loop after the running write
	pending []pendingNote // in the order of the journal
}

// pendingNote is an act Record with the journal position at after its note.
type pendingNote struct {
	act queue.Act
	at  int64
}

// record appends the note of an act.
func (j *journaled) record(a queue.Act, now time.Time) {
	if a.Lazy {
		if a.Prompt {
			j.file.Append(a.Note.Encode(), now)
		} else if !j.file.Strained() {
			j.file.Append(a.Note.Encode(), now.Add(lazyDelay))
		}
		return
	}
	j.pending = append(j.pending, pendingNote{a, j.file.Append(a.Note.Encode(), now)})
}

// start begins a write if a write is due.
func (j *journaled) start(now time.Time) {
	if j.file.Wait(now) != 0 {
		return
	}
	j.file.Start(func() {
		j.post(func() {
			select {
			case w := <-j.file.Done():
				j.report(j.file.Finish(w, time.Now()))
				j.resumeWaiters()
			default: // Sync has taken it
			}
		})
	})
}

// settled calls f in the loop when the journal has no more lines to write, or cannot be written.
func (j *journaled) settled(now time.Time, f func()) {
	j.start(now)
	if !j.file.Busy() {
		f()
		return
	}
	j.waiters = append(j.waiters, func() {
		if j.file.Failing() {
			f()
			return
		}
		j.settled(time.Now(), f)
	})
}

// stored calls f in the loop when the lines before the position end are on disk, or cannot be written. Lines that may
// wait do not count.
func (j *journaled) stored(end int64, now time.Time, f func()) {
	j.start(now)
	if !j.file.Busy() || j.file.Safe() >= end {
		f()
		return
	}
	j.waiters = append(j.waiters, func() {
		if j.file.Failing() {
			f()
			return
		}
		j.stored(end, time.Now(), f)
	})
}

func (j *journaled) resumeWaiters() {
	waiters := j.waiters
	j.waiters = nil
	for _, f := range waiters {
		f()
	}
}

// advance answers the acts whose notes survive a power cut.
func (j *journaled) advance(now time.Time) {
	for len(j.pending) > 0 && j.pending[0].at <= j.file.Safe() {
		act := j.pending[0].act
		j.pending[0] = pendingNote{}
		j.pending = j.pending[1:]
		j.acted(act, queue.Result{}, now)
	}
}

// wait returns the time until a write is due; negative: none is.
func (j *journaled) wait(now time.Time) time.Duration { return j.file.Wait(now) }

// recording returns the number of acts that are not answered.
func (j *journaled) recording() int { return len(j.pending) }

func (j *journaled) failing() bool { return j.file.Failing() }

// sync writes at once and waits.
func (j *journaled) sync() {
	j.report(j.file.Sync(time.Now()))
	j.advance(time.Now())
}

// report logs the first failure of a series, and the end of the series.
func (j *journaled) report(err error, recovered bool) {
	logWrite(j.opts.Logger, spooldir.JournalFile, err, recovered)
}

func (j *journaled) close() { j.file.Close() }

// logWrite logs the first failed write of a series, and the end of the series.
func logWrite(log *slog.Logger, file string, err error, recovered bool) {
	if err != nil {
		log.Error("file cannot be written; retrying", "file", file, "err", err)
	}
	if recovered {
		log.Info("file can be written again", "file", file)
	}
}
