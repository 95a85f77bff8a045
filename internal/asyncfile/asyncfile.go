// Package asyncfile keeps a file up to date with something that changes all the time: one write at a time, in the
// background, and never so often that writing takes more than a twentieth of the time.
package asyncfile

import (
	"io"
	"io/fs"
	"time"
)

const (
	delay = 200 * time.Millisecond // from a change to its write: what comes and goes meanwhile costs none
	retry = 5 * time.Second        // after a failed write
	share = 19                     // time at rest for each unit of time that a write took
)

// Writer replaces the file at path, atomically, by what write writes.
type Writer func(path string, perm fs.FileMode, write func(io.Writer) error) error

// File is the file and what is known of it. Its methods are for one goroutine.
type File struct {
	path    string
	replace Writer
	changed bool // what it shows has changed since it was last written
	empty   bool // what was written last was empty
	next    time.Time
	writing bool
	failed  bool // the last write failed, and Finish has said so
	written chan Written
}

// Written is what became of one write.
type Written struct {
	err   error
	cost  time.Duration // of making the content
	empty bool
}

// Err returns why the file could not be written; nil: it was.
func (w Written) Err() error { return w.err }

// New returns the file at path, mode 0600, which replace writes.
func New(path string, replace Writer) *File {
	return &File{path: path, replace: replace, written: make(chan Written, 1)}
}

// Touch says that what the file shows has changed.
func (f *File) Touch(now time.Time) {
	if f.changed {
		return
	}
	f.changed = true
	if at := now.Add(delay); f.next.Before(at) {
		f.next = at
	}
}

// Wait is how long it is to the next write; zero: Start it now; negative: there is nothing to write yet.
func (f *File) Wait(now time.Time) time.Duration {
	if !f.changed || f.writing {
		return -1
	}
	return max(0, f.next.Sub(now))
}

// Start writes in the background and then calls notify there; Finish takes the end of the write from Done. If empty is set,
// write has nothing to say: if the last content was empty too, Start does nothing and returns false.
func (f *File) Start(empty bool, write func(io.Writer) error, notify func()) (begun bool) {
	f.changed = false
	if empty && f.empty {
		return false
	}
	f.writing = true
	go func() {
		f.written <- f.write(empty, write) // never blocks: one write at a time, and room for its end
		notify()
	}()
	return true
}

// Busy reports whether a write is going on.
func (f *File) Busy() bool { return f.writing }

// Done carries the end of a write that Start began, for Finish.
func (f *File) Done() <-chan Written { return f.written }

// Finish takes the end of a write. err is the first of a row of failures, later ones are not told again; recovered
// says that writing works again.
func (f *File) Finish(w Written, now time.Time) (err error, recovered bool) {
	f.writing, f.empty = false, w.empty
	f.next = now.Add(share * w.cost)
	recovered = f.failed && w.err == nil
	if w.err != nil {
		f.changed, f.next = true, now.Add(retry)
		if !f.failed {
			err = w.err
		}
	}
	f.failed = w.err != nil
	return err, recovered
}

// Sync waits for a write in the background and then writes at once.
func (f *File) Sync(empty bool, write func(io.Writer) error) error {
	if f.writing {
		w := <-f.written
		f.writing, f.empty = false, w.empty
	}
	w := Written{empty: f.empty}
	if !empty || !f.empty {
		w = f.write(empty, write)
	}
	f.changed, f.empty = w.err != nil, w.empty
	return w.err
}

func (f *File) write(empty bool, write func(io.Writer) error) Written {
	var cost time.Duration
	err := f.replace(f.path, 0o600, func(w io.Writer) error {
		began := time.Now()
		defer func() { cost = time.Since(began) }() // waiting for the disk costs nobody anything
		return write(w)
	})
	return Written{err: err, cost: cost, empty: empty && err == nil}
}
