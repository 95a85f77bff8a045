// Package journal keeps records safe until another file holds them. Records are appended to a file in the background,
// as one line with a checksum each, many records with one sync. Cut removes records from the journal after they are
// saved elsewhere.
//
// A position counts the bytes of all lines that were ever appended, including lines that the file no longer holds.
package journal

import (
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

const (
	retry = 5 * time.Second // after a failed write
	large = 16 << 20        // size of the file in bytes from which Strained is true
)

// File is an open journal. Its methods are for one goroutine.
type File struct {
	disk    *disk     // used only by the write while a write runs
	lines   []byte    // appended lines that no write has taken
	due     time.Time // time of the next write, if there are lines
	end     int64     // position after the last appended line
	safe    int64     // position before which all lines are on disk or cut
	cut     int64     // position before which all lines are saved elsewhere
	shrunk  int64     // position before which all lines are removed from the file
	size    int64     // size of the file after the last write
	flight  batch     // batch of the running write
	writing bool
	failed  bool      // the last write failed, and Finish has returned the error
	rest    time.Time // time of the next write after a failure
	written chan Written
}

// batch is the work of one write.
type batch struct {
	lines []byte
	from  int64 // position of lines
	cut   int64
	check bool // the last write has failed
}

// Written is the result of one write.
type Written struct {
	err    error
	stored bool  // the lines are on disk
	shrunk bool  // the cut succeeded
	size   int64 // size of the file
}

// New returns a journal at path without a file. The first write creates the file, with mode 0600.
func New(path string) *File { return NewOn(fsys.System(), path) }

// NewOn is New on the file system on.
func NewOn(on fsys.FS, path string) *File { return newFile(newDisk(on, path, 0)) }

func newFile(d *disk) *File {
	return &File{disk: d, end: d.size, safe: d.size, size: d.size, written: make(chan Written, 1)}
}

// Guard makes the journal call here before each use of the file. An error of here means that the directory is another
// one now; the file is not touched then.
func (f *File) Guard(here func() error) { f.disk.here = here }

// Busy reports whether a write is running.
func (f *File) Busy() bool { return f.writing }

// Append adds a record, which must not be empty or contain a line end. The record is written at the time due, together
// with all other lines. The caller may reuse record at once. at is the position after the record: when Safe reaches at,
// the record is safe.
func (f *File) Append(record []byte, due time.Time) (at int64) {
	if len(f.lines) == 0 || due.Before(f.due) {
		f.due = due
	}
	before := len(f.lines)
	f.lines = appendLine(f.lines, record)
	f.end += int64(len(f.lines) - before)
	return f.end
}

// End returns the position after the last appended line. A caller that saves its state now passes End to Cut.
func (f *File) End() int64 { return f.end }

// Safe returns the position before which all lines survive a power cut: the lines are on disk or were cut.
func (f *File) Safe() int64 { return f.safe }

// Cut tells the journal that all lines before the position at are saved elsewhere. Lines that are not written yet are
// dropped; the next write removes the others from the file.
func (f *File) Cut(at int64) {
	f.cut, f.safe = max(f.cut, at), max(f.safe, at)
	if start := f.end - int64(len(f.lines)); at > start {
		f.lines = f.lines[at-start:]
	}
}

// Strained reports whether callers should append only the most important records: the last write failed, or the file is
// large because the last cut is long ago.
func (f *File) Strained() bool { return f.failed || f.size >= large }

// Failing reports whether the last write failed.
func (f *File) Failing() bool { return f.failed }

func (f *File) shrinks() bool { return f.size > 0 && f.cut > f.shrunk }

// Wait returns the time until the next write. Zero: call Start now. Negative: there is no work, or a write is running.
func (f *File) Wait(now time.Time) time.Duration {
	at := f.due
	switch {
	case f.writing || len(f.lines) == 0 && !f.shrinks() && !f.failed:
		return -1
	case f.shrinks():
		at = now
	}
	if f.failed && at.Before(f.rest) {
		at = f.rest
	}
	return max(0, at.Sub(now))
}

// Start writes and cuts in the background, and then calls notify in the background goroutine. Finish takes the result
// from Done.
func (f *File) Start(notify func()) {
	b := f.take()
	f.writing = true
	go func() {
		f.written <- f.disk.commit(b) // never blocks: there is one write at a time, and the channel has a buffer of one
		notify()
	}()
}

func (f *File) take() batch {
	f.flight = batch{lines: f.lines, from: f.end - int64(len(f.lines)), cut: f.cut, check: f.failed}
	f.lines = nil
	return f.flight
}

// Done returns the channel of results of writes that Start began.
func (f *File) Done() <-chan Written { return f.written }

// Finish takes the result of a write. err is the first error of a series of failures; later errors of the series are
// not returned. recovered is true for the first success after failures. Lines of a failed write are written again.
func (f *File) Finish(w Written, now time.Time) (err error, recovered bool) {
	b := f.flight
	f.flight, f.writing, f.size = batch{}, false, w.size
	end := b.from + int64(len(b.lines))
	switch {
	case w.stored:
		f.safe = max(f.safe, end)
	case end > f.cut: // lines appended since are not cut then
		f.lines, f.due = append(b.lines, f.lines...), now
		f.Cut(f.cut)
	}
	if w.shrunk {
		f.shrunk = b.cut
	}
	recovered = f.failed && w.err == nil
	if w.err != nil {
		f.rest = now.Add(retry)
		if !f.failed {
			err = w.err
		}
	}
	f.failed = w.err != nil
	return err, recovered
}

// Sync waits for the running write, and then writes and cuts at once. It returns the values of Finish.
func (f *File) Sync(now time.Time) (err error, recovered bool) {
	if f.writing {
		err, recovered = f.Finish(<-f.written, now)
	}
	if len(f.lines) == 0 && !f.shrinks() {
		return err, recovered
	}
	again, back := f.Finish(f.disk.commit(f.take()), now)
	if err == nil {
		err = again
	}
	return err, recovered || back
}

// Close closes the file. No write may be running.
func (f *File) Close() { f.disk.close() }
