// Package journal remembers what must not be forgotten until it is saved elsewhere: records are appended to a file, one
// checksummed line each, many of them with one sync, in the background; and cut off when something else holds them.
//
// What was appended has a position, which counts the bytes of all lines ever appended, whatever the file holds of them.
package journal

import (
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

const (
	retry = 5 * time.Second // after a failed write
	large = 16 << 20        // bytes of the file from which it is strained
)

// File is a journal that was read and is appended to. Its methods are for one goroutine.
type File struct {
	disk    *disk     // belongs to the write that is going on, while one is
	lines   []byte    // appended, and not yet on their way to the disk
	due     time.Time // when they are to be, if there are any
	end     int64     // position behind all that was appended
	safe    int64     // all before is on disk, or was cut
	cut     int64     // all before is saved elsewhere
	shrunk  int64     // and what of that has left the file
	size    int64     // of the file, when it was last looked at
	flight  batch     // being written
	writing bool
	failed  bool      // the last write failed, and Finish has said so
	rest    time.Time // until when nothing is tried after that
	written chan Written
}

// batch is what one write has to do.
type batch struct {
	lines []byte
	from  int64 // position of lines
	cut   int64
}

// Written is what became of one write.
type Written struct {
	err    error
	stored bool  // its lines are on disk
	shrunk bool  // what it was to cut is cut
	size   int64 // of the file
}

// New returns a journal at path, of which there is no file yet. It touches nothing; the file is made, with mode 0600, when
// there is something to write.
func New(path string) *File { return NewOn(fsys.System(), path) }

// NewOn is New on the file system on.
func NewOn(on fsys.FS, path string) *File { return newFile(newDisk(on, path, 0)) }

func newFile(d *disk) *File {
	return &File{disk: d, end: d.size, safe: d.size, size: d.size, written: make(chan Written, 1)}
}

// Guard has here asked before the file is touched: an error of it says that the directory is another one now.
func (f *File) Guard(here func() error) { f.disk.here = here }

// Busy reports whether a write is going on.
func (f *File) Busy() bool { return f.writing }

// Append adds a record, which must not be empty nor hold a line end. It is on its way to the disk at the time due, with
// all that was appended before and meanwhile; it may be used again at once. Its end is at the position at: when Safe has
// come there the record will not be forgotten.
func (f *File) Append(record []byte, due time.Time) (at int64) {
	if len(f.lines) == 0 || due.Before(f.due) {
		f.due = due
	}
	before := len(f.lines)
	f.lines = appendLine(f.lines, record)
	f.end += int64(len(f.lines) - before)
	return f.end
}

// End is the position behind all that was appended so far: what is saved elsewhere now holds as much.
func (f *File) End() int64 { return f.end }

// Safe is the position before which everything survives a power cut: it is on disk, or was cut.
func (f *File) Safe() int64 { return f.safe }

// Cut says that all before the position at is saved elsewhere, so that it need not be written any more, and leaves the file
// with the next write.
func (f *File) Cut(at int64) {
	f.cut, f.safe = max(f.cut, at), max(f.safe, at)
	if start := f.end - int64(len(f.lines)); at > start {
		f.lines = f.lines[at-start:]
	}
}

// Strained reports whether only what matters most should be appended: the file cannot be written now, or has grown large
// as long ago something was last cut.
func (f *File) Strained() bool { return f.failed || f.size >= large }

// Failing reports whether the last write failed.
func (f *File) Failing() bool { return f.failed }

func (f *File) shrinks() bool { return f.size > 0 && f.cut > f.shrunk }

// Wait is how long it is to the next write; zero: Start it now; negative: there is nothing to write yet.
func (f *File) Wait(now time.Time) time.Duration {
	at := f.due
	switch {
	case f.writing || len(f.lines) == 0 && !f.shrinks():
		return -1
	case f.shrinks():
		at = now
	}
	if f.failed && at.Before(f.rest) {
		at = f.rest
	}
	return max(0, at.Sub(now))
}

// Start writes all that was appended, and cuts what is to be, in the background, and then calls notify there; Finish takes
// the end of the write from Done.
func (f *File) Start(notify func()) {
	b := f.take()
	f.writing = true
	go func() {
		f.written <- f.disk.commit(b) // never blocks: one write at a time, and room for its end
		notify()
	}()
}

func (f *File) take() batch {
	f.flight = batch{lines: f.lines, from: f.end - int64(len(f.lines)), cut: f.cut}
	f.lines = nil
	return f.flight
}

// Done carries the end of a write that Start began, for Finish.
func (f *File) Done() <-chan Written { return f.written }

// Finish takes the end of a write. err is the first of a row of failures, later ones are not told again; recovered says
// that writing works again. What could not be written is tried again.
func (f *File) Finish(w Written, now time.Time) (err error, recovered bool) {
	b := f.flight
	f.flight, f.writing, f.size = batch{}, false, w.size
	end := b.from + int64(len(b.lines))
	switch {
	case w.stored:
		f.safe = max(f.safe, end)
	case end > f.cut: // so nothing was cut of what was appended since
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

// Sync waits for a write in the background, and then writes and cuts at once what there is. It returns what Finish does.
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

// Close closes the file. No write may be going on.
func (f *File) Close() { f.disk.close() }
