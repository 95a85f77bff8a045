package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

// SettleTime is how long a file must have been left alone before it counts as complete, where the system cannot
// tell whether somebody still writes it.
const SettleTime = 2 * time.Second

// Why a file cannot be taken. Test with errors.Is.
var (
	ErrNotRegular   = errors.New("not a regular file")
	ErrLinked       = errors.New("file has more than one hard link")
	ErrBeingWritten = errors.New("file is being written")
	ErrUnsettled    = errors.New("file was written a moment ago")
	ErrChanged      = errors.New("file has been changed or replaced")
)

// An ID identifies one version of a file: another file under the same name has another ID, and so has the same file
// after it was written to.
type ID struct {
	Ino     uint64 // zero where the system has no inode numbers
	Size    int64  // bytes
	ModTime time.Time
}

// Equal reports whether both are the same version of the same file.
func (id ID) Equal(other ID) bool {
	return id.Ino == other.Ino && id.Size == other.Size && id.ModTime.Equal(other.ModTime)
}

// Quiet reports whether the file has been left alone for SettleTime at the time now: by its modification time, or,
// since the clock of the file's host may be ahead of ours, because this very ID was seen as long ago as since (the zero
// time: never).
func (id ID) Quiet(since, now time.Time) bool {
	return now.Sub(id.ModTime) >= SettleTime || !since.IsZero() && now.Sub(since) >= SettleTime
}

// Stat tells which version of name is in the spool, without opening it. Its errors are those of Open, except
// ErrBeingWritten.
func (d *Dir) Stat(name string) (ID, error) {
	if err := d.check("stat", name); err != nil {
		return ID{}, err
	}
	return lstatID(d.fs, d.File(name))
}

// Open opens name for reading and tells which version of it that is. It never waits, not even for a FIFO, and opens
// nothing but regular files. Errors: fs.ErrNotExist; ErrNotRegular for a symbolic link, directory, FIFO, socket or
// device; ErrLinked while the file has a second hard link, so its writer may not be done putting it in place;
// ErrBeingWritten where the system locks out readers; anything else (such as a lack of permission) as the system says.
func (d *Dir) Open(name string) (fsys.File, ID, error) {
	if err := d.check("open", name); err != nil {
		return nil, ID{}, err
	}
	path := d.File(name)
	// To open a device can have an effect of its own, so look first. What is there may change before it is opened:
	// the flags and the second look at the open file are what can be relied on.
	if _, err := lstatID(d.fs, path); err != nil {
		return nil, ID{}, err
	}
	f, err := d.fs.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, ID{}, &fs.PathError{Op: "open", Path: path, Err: openReason(err)}
	}
	id, err := openID(f)
	if err != nil {
		f.Close()
		return nil, ID{}, err
	}
	return f, id, nil
}

// Reopen opens the version id of name, which Open has opened and Settled has found complete before; ErrChanged if there is
// another one now.
func (d *Dir) Reopen(name string, id ID) (fsys.File, error) {
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	f, err := d.fs.OpenFile(d.File(name), openFlags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.File(name), Err: openReason(err)}
	}
	now, err := openID(f)
	if err == nil && !now.Equal(id) {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: ErrChanged}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lstatID identifies the file at path; a symbolic link is not followed.
func lstatID(on fsys.FS, path string) (ID, error) {
	fi, err := on.Lstat(path)
	if err != nil {
		return ID{}, err
	}
	return identify("stat", path, fi)
}

// openID identifies an open file.
func openID(f fsys.File) (ID, error) {
	fi, err := f.Stat()
	if err != nil {
		return ID{}, err
	}
	return identify("open", f.Name(), fi)
}

// identify refuses what is not the only link to a regular file.
func identify(act, path string, fi fs.FileInfo) (ID, error) {
	if !fi.Mode().IsRegular() {
		return ID{}, &fs.PathError{Op: act, Path: path, Err: ErrNotRegular}
	}
	id, links := fileID(fi)
	if links > 1 {
		return ID{}, &fs.PathError{Op: act, Path: path, Err: ErrLinked}
	}
	return id, nil
}

// fileID reads the ID and the number of hard links out of fi.
func fileID(fi fs.FileInfo) (ID, uint64) {
	ino, links := inode(fi)
	return ID{Ino: ino, Size: fi.Size(), ModTime: near(fi.ModTime())}, links
}

// near returns t, or the nearest time that can be counted in nanoseconds since 1970: some file systems keep years that
// neither the name of a file set aside nor JSON can hold.
func near(t time.Time) time.Time {
	first, last := time.Unix(0, math.MinInt64+1), time.Unix(0, math.MaxInt64)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// lease is the answer of the system to the question whether a file has a writer.
type lease int

const (
	leaseUnknown lease = iota // the system cannot tell
	leaseFree                 // nobody has it open for writing, or mapped writable
	leaseBusy                 // somebody has
)

// Settled returns nil if the writer of f, which Open returned together with id, has finished. On Linux the kernel is
// asked whether any process has the file open for writing or mapped writable: ErrBeingWritten. Where it does not
// answer (other systems, many network file systems, a file of another owner), the file has to be Quiet:
// ErrUnsettled if it is not. ErrBeingWritten also means that f is no longer the version id: open it again.
//
// A program that closes the file and opens it again to write more looks finished in between.
func (d *Dir) Settled(f fsys.File, id ID, since, now time.Time) error {
	answer, err := probeLease(f)
	if err != nil {
		return fmt.Errorf("probe %s for a writer: %w", f.Name(), err)
	}
	// A last write between Open and the probe would make id that of a version which nobody will ever see again.
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	current, _ := fileID(fi)
	switch {
	case answer == leaseBusy || !current.Equal(id):
		return &fs.PathError{Op: "settle", Path: f.Name(), Err: ErrBeingWritten}
	case answer == leaseUnknown && !id.Quiet(since, now):
		return &fs.PathError{Op: "settle", Path: f.Name(), Err: ErrUnsettled}
	}
	return nil
}
