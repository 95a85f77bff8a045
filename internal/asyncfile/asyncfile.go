// Package asyncfile writes a file that shows a changing state: one write at a time, in the background, with pauses so
// that making the content takes at most a twentieth of the time.
package asyncfile

import (
	"io"
	"io/fs"
	"time"
)

const (
	delay = 200 * time.Millisecond // from a change to the write, so that one write covers many changes
	retry = 5 * time.Second        // pause after a failed write
	share = 19                     // pause after a write, as a multiple of the time for making the content
)

// A Writer atomically replaces the file at path by the output of write.
type Writer func(path string, perm fs.FileMode, write func(io.Writer) error) error

// File is a file and its state. Its methods are for one goroutine.
type File struct {
	path    string
	replace Writer
	changed bool // the content has changed since the last write
	empty   bool // the last written content was empty
	next    time.Time
	writing bool
	failed  bool // the last write failed, and Finish has returned the error
	written chan Written
}

// Written is the result of one write.
type Written struct {
	err   error
	cost  time.Duration // time for making the content
	empty bool
}

// Err returns the error of the write.
func (w Written) Err() error { return w.err }

// New returns a File at path with mode 0600, written by replace.
func New(path string, replace Writer) *File {
	return &File{path: path, replace: replace, written: make(chan Written, 1)}
}

// Touch tells that the content has changed.
func (f *File) Touch(now time.Time) {
	if f.changed {
		return
	}
	f.changed = true
	if at := now.Add(delay); f.next.Before(at) {
		f.next = at
	}
}

// Wait returns the time until the next write. Zero: call Start now. Negative: there is no change, or a write is
// running.
func (f *File) Wait(now time.Time) time.Duration {
	if !f.changed || f.writing {
		return -1
	}
	return max(0, f.next.Sub(now))
}

// Start writes in the background and then calls notify in the background goroutine. Finish takes the result from Done.
// empty means that write would write no content: Start then does nothing and returns false if the last content was
// empty too.
func (f *File) Start(empty bool, write func(io.Writer) error, notify func()) (begun bool) {
	f.changed = false
	if empty && f.empty {
		return false
	}
	f.writing = true
	go func() {
		f.written <- f.write(empty, write) // never blocks: one write at a time, and a buffer of one
		notify()
	}()
	return true
}

// Busy reports whether a write is running.
func (f *File) Busy() bool { return f.writing }

// Done returns the channel of results of writes that Start began.
func (f *File) Done() <-chan Written { return f.written }

// Finish takes the result of a write. err is the first error of a series of failures; later errors of the series are
// not returned. recovered is true for the first success after failures.
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

// Sync waits for the running write and then writes at once.
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
		defer func() { cost = time.Since(began) }() // the wait for the disk needs no processor
		return write(w)
	})
	return Written{err: err, cost: cost, empty: empty && err == nil}
}
