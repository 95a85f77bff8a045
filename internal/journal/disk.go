package journal

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// disk is the file itself:
//
//	0 ── dead ────────────── size
//	  cut   │ to be kept        │ never whole: taken off before the next write
//	        └ position start
type disk struct {
	path       string
	fs         fsys.FS
	f          fsys.File // nil: closed, as it is after every failure
	named      bool      // that the file is there under its name is on disk
	size, dead int64
	start      int64
	here       func() error // nil while the directory is the journal's own
}

// newDisk returns the file at path on the file system on. Writes to it are at an offset: a file opened to append cannot be
// cut everywhere.
func newDisk(on fsys.FS, path string, size int64) *disk {
	return &disk{path: path, fs: on, size: size, here: func() error { return nil }}
}

// commit carries out b. That nothing can be cut does not keep its lines from being written.
func (d *disk) commit(b batch) (w Written) {
	cut := d.cut(b.cut)
	write := d.write(b.lines, b.from)
	if w.err = errors.Join(cut, write); w.err != nil {
		d.close() // whatever is wrong with it may be gone when it is opened again
	}
	w.shrunk, w.stored, w.size = cut == nil, write == nil, d.size
	return w
}

func (d *disk) close() {
	if d.f != nil {
		d.f.Close() // nothing is lost by its error: what counts is synced
		d.f = nil
	}
}

// ready sees that the file is open, is the one under its name, and ends where it should.
func (d *disk) ready() error {
	if err := d.here(); err != nil { // what lies there may know more, and is not ours to cut
		return err
	}
	if d.f != nil && !d.isNamed() { // it was removed by hand, say
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
	return err == nil && os.SameFile(there, ours)
}

// write puts lines, which begin at the position from, behind what is there, for good.
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

// cut takes what is before the position at out of the file.
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

// rewrite replaces the file by one that holds only what is to be kept.
func (d *disk) rewrite() error {
	kept := make([]byte, d.size-d.dead)
	if _, err := d.f.ReadAt(kept, d.dead); err != nil {
		return err
	}
	d.close() // or it could not be replaced everywhere
	err := spooldir.WriteFileOn(d.fs, d.path, 0o600, func(w io.Writer) error { _, err := w.Write(kept); return err })
	// After an error the old file is there, or the new one, if only its name may not be on disk. The new one is shorter.
	if fi, statErr := d.fs.Lstat(d.path); err == nil || statErr == nil && fi.Size() == int64(len(kept)) {
		d.size, d.dead = int64(len(kept)), 0
	}
	return err
}
