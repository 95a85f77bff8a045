package journal

import (
	"errors"
	"io"
	"path/filepath"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// disk is the file of a journal:
//
//	0 ── dead ────────────── size
//	  cut   │ to be kept        │ damaged tail: removed before the next write
//	        └ position start
type disk struct {
	path       string
	fs         fsys.FS
	f          fsys.File // nil: closed, as after every failure
	named      bool      // the directory entry of the file is on disk
	size, dead int64
	start      int64
	here       func() error // returns an error if the directory is another one now
}

// newDisk returns the file at path on the file system on. Writes go to an offset: some systems cannot truncate a file
// that is open for appending.
func newDisk(on fsys.FS, path string, size int64) *disk {
	return &disk{path: path, fs: on, size: size, here: func() error { return nil }}
}

// commit cuts and writes for the batch b. A failed cut does not prevent the write. After a failure commit finds out
// whether the file can be written, although the lines of the failed write may be in the status file by now.
func (d *disk) commit(b batch) (w Written) {
	cut := d.cut(b.cut)
	write := d.write(b.lines, b.from)
	if len(b.lines) == 0 && b.check {
		write = d.ready()
	}
	if w.err = errors.Join(cut, write); w.err != nil {
		d.close() // opening the file again may help
	}
	w.shrunk, w.stored, w.size = cut == nil, write == nil, d.size
	return w
}

func (d *disk) close() {
	if d.f != nil {
		d.f.Close() // the error does not matter: all lines that count are synced
		d.f = nil
	}
}

// ready opens the file unless the open file still has the name, and truncates the file to size.
func (d *disk) ready() error {
	if err := d.here(); err != nil { // another daemon's journal must not be cut
		return err
	}
	if d.f != nil && !d.isNamed() { // such as removed by hand
		d.close()
	}
	if d.f == nil {
		f, err := spooldir.OpenOwnOn(d.fs, d.path)
		if err != nil {
			return err
		}
		d.f, d.named = f, false
	}
	fi, err := d.f.Stat()
	if err != nil {
		return err
	}
	d.size = min(d.size, fi.Size())
	d.dead = min(d.dead, d.size)
	if fi.Size() > d.size {
		if err := d.f.Truncate(d.size); err != nil {
			return err
		}
	}
	if !d.named {
		if err := d.fs.SyncDir(filepath.Dir(d.path)); err != nil {
			return err
		}
		d.named = true
	}
	return nil
}

func (d *disk) isNamed() bool {
	there, err := d.fs.Lstat(d.path)
	if err != nil {
		return false
	}
	ours, err := d.f.Stat()
	return err == nil && fsys.SameFile(there, ours)
}

// write appends and syncs lines. The position of the first line is from.
func (d *disk) write(lines []byte, from int64) error {
	if len(lines) == 0 {
		return nil
	}
	if err := d.ready(); err != nil {
		return err
	}
	if d.size == d.dead {
		d.start = from
	}
	if _, err := d.f.WriteAt(lines, d.size); err != nil {
		return err
	}
	if err := d.f.Sync(); err != nil {
		return err
	}
	d.size += int64(len(lines))
	return nil
}

// cut removes the lines before the position at from the file.
func (d *disk) cut(at int64) error {
	n := min(max(at-d.start, 0), d.size-d.dead)
	d.dead, d.start = d.dead+n, d.start+n
	if d.dead == 0 {
		return nil
	}
	if err := d.ready(); err != nil {
		return err
	}
	if d.dead < d.size {
		return d.rewrite()
	}
	if err := d.f.Truncate(0); err != nil {
		return err
	}
	d.size, d.dead = 0, 0
	return d.f.Sync()
}

// rewrite replaces the file by a file with only the lines to keep.
func (d *disk) rewrite() error {
	kept := make([]byte, d.size-d.dead)
	if _, err := d.f.ReadAt(kept, d.dead); err != nil {
		return err
	}
	d.close() // some systems cannot replace an open file
	err := spooldir.WriteFileOn(d.fs, d.path, 0o600, func(w io.Writer) error { _, err := w.Write(kept); return err })
	// After an error either the old file or the new file has the name: perhaps only the directory sync failed. The
	// sizes differ.
	if fi, statErr := d.fs.Lstat(d.path); err == nil || statErr == nil && fi.Size() == int64(len(kept)) {
		d.size, d.dead = int64(len(kept)), 0
	}
	return err
}
