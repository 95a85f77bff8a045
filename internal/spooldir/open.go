package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

// SettleTime is the default time without a change after which a file written in place counts as complete.
const SettleTime = 2 * time.Second

// Reasons why a file cannot be read as a message. Test with errors.Is.
var (
	ErrNotRegular   = errors.New("not a regular file")
	ErrLinked       = errors.New("file has more than one hard link")
	ErrBeingWritten = errors.New("file is being written")
	ErrUnsettled    = errors.New("file was written a moment ago")
	ErrChanged      = errors.New("file has been changed or replaced")
)

// An ID identifies one version of a file. Another file under the same name has another ID, and so has the same file
// after a write.
type ID struct {
	Ino     uint64 // zero where the system has no inode numbers
	Size    int64  // bytes
	ModTime time.Time
	User    uint32 // user id of the owner, which is no part of the version; zero where the system has none
}

// Equal reports whether both are the same version of the same file.
func (id ID) Equal(other ID) bool {
	return id.Ino == other.Ino && id.Size == other.Size && id.ModTime.Equal(other.ModTime)
}

// Quiet reports whether the file was unchanged for the time settle at the time now: by its modification time or, since
// the clock of the file's host may be ahead, because this ID was seen at the time since (zero: never).
func (id ID) Quiet(since, now time.Time, settle time.Duration) bool {
	return now.Sub(id.ModTime) >= settle || !since.IsZero() && now.Sub(since) >= settle
}

// Stat returns the version of the message name in the spool, without opening the file. Its errors are those of Open,
// except ErrBeingWritten.
func (d *Dir) Stat(name string) (ID, error) { return StatIn(d, Spool, name) }

// StatIn is Stat for a message in place.
func StatIn(d *Dir, place Place, name string) (ID, error) {
	if err := check("stat", name); err != nil {
		return ID{}, err
	}
	return lstatID(d.fs, d.At(place, name))
}

// Open opens the message name for reading and returns its version. Open never waits, not even for a FIFO, and opens
// only regular files. Errors: fs.ErrNotExist; ErrNotRegular for a symbolic link, directory, FIFO, socket or device;
// ErrLinked while the file has a second hard link, since a program may be moving the file; ErrBeingWritten where the
// system locks out readers; errors of the system, such as a lack of permission.
func (d *Dir) Open(name string) (fsys.File, ID, error) {
	if err := check("open", name); err != nil {
		return nil, ID{}, err
	}
	path := d.File(name)
	// Opening a device can have an effect, so look first. The file may be replaced before it is opened: the flags, and
	// the second look at the open file, are reliable.
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

// Reopen opens the version id of name, which Open has opened and Settled has found complete before. ErrChanged: there
// is another version.
func (d *Dir) Reopen(name string, id ID) (fsys.File, error) {
	if err := check("open", name); err != nil {
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

// lstatAny returns the ID of the file at path, of any kind and with any number of links.
func lstatAny(on fsys.FS, path string) (ID, error) {
	fi, err := on.Lstat(path)
	if err != nil {
		return ID{}, err
	}
	return IDOf(fi), nil
}

// identify returns the ID of a regular file with one link, and an error for other files.
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

// fileID returns the ID and the number of hard links of the file that fi describes.
func fileID(fi fs.FileInfo) (ID, uint64) {
	ino, links := inode(fi)
	return ID{Ino: ino, Size: fi.Size(), ModTime: near(fi.ModTime()), User: userOf(fi)}, links
}

// near returns t, or the nearest time that is a number of nanoseconds since 1970: some file systems have years that
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
	leaseFree                 // no process has the file open for writing, or mapped writable
	leaseBusy                 // a process has
)

// Free asks whether a process has f open for writing or mapped writable: ErrBeingWritten. Open has returned f and id.
// ErrBeingWritten also means that f is no longer the version id: open it again. Known is false if the system cannot
// tell: outside Linux, on many network file systems, and for a file of another owner.
//
// A program that closes the file, and opens it again to write more, looks finished in between.
func Free(f fsys.File, id ID) (known bool, err error) {
	answer, err := probeLease(f)
	if err != nil {
		return false, fmt.Errorf("probe %s for a writer: %w", f.Name(), err)
	}
	// After a last write between Open and the probe, id would be a version that does not exist any more.
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	if answer == leaseBusy || !IDOf(fi).Equal(id) {
		return false, &fs.PathError{Op: "settle", Path: f.Name(), Err: ErrBeingWritten}
	}
	return answer == leaseFree, nil
}
