package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/unbit/spoolgore/internal/fsys"
)

// lockName is never removed: a process that waits at a removed lock file would not exclude one that makes a new file.
const lockName = ".spoolgore.lock"

// A LockedError says that somebody else runs the spool.
type LockedError struct {
	Path string // of the lock file
	PID  int    // of the holder; zero if it cannot be told
}

// Error implements error.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is locked by another process", e.Path)
	}
	return fmt.Sprintf("%s is locked by process %d", e.Path, e.PID)
}

// ErrReplaced says that the spool directory is not the one that was locked.
var ErrReplaced = errors.New("spool directory is another one now")

// Here returns nil if the directory is the one that Lock has locked last, or any if it has locked none. ErrReplaced if
// another one has taken its place, as when a file system was mounted or unmounted, or the directory was made anew;
// fs.ErrNotExist if there is none.
func (d *Dir) Here() error {
	if _, err := d.fs.Stat(d.path); err != nil {
		return fmt.Errorf("look at spool: %w", err)
	}
	locked := d.locked.Load()
	if locked == nil {
		return nil
	}
	fi, err := d.fs.Lstat(d.File(lockName))
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !os.SameFile(*locked, fi):
		return fmt.Errorf("look at spool: %s: %w", d.path, ErrReplaced)
	case err != nil:
		return fmt.Errorf("look at spool: %w", err)
	}
	return nil
}

// Lock makes the caller the only one to run the spool, until unlock is called or the process ends, in whatever way. Keep
// unlock: the lock goes with it; it may be called more than once. Lock does not wait: while another process, or another
// Dir in this one, has the lock, it returns a *LockedError.
func (d *Dir) Lock() (unlock func(), err error) {
	f, err := d.fs.OpenFile(d.File(lockName), lockFlags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	got, err := tryLock(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock spool: %s: %w", f.Name(), err)
	}
	if !got {
		defer f.Close()
		return nil, &LockedError{Path: f.Name(), PID: readPID(f)}
	}
	fi, err := f.Stat()
	if err == nil {
		err = writePID(f)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	before := d.locked.Swap(&fi)
	// Closing gives up the lock, and if nobody kept unlock the garbage collector would close it.
	return sync.OnceFunc(func() {
		d.locked.CompareAndSwap(&fi, before) // who could not go on with this one is still at home in the one before
		f.Close()
	}), nil
}

// Holder returns the process id of who runs the spool; zero: nobody does, or it cannot be told who. While a process has
// the number that the last holder had but not the lock, it is taken for a moment.
func (d *Dir) Holder() (pid int, err error) {
	f, err := d.fs.OpenFile(d.File(lockName), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find who runs the spool: %w", err)
	}
	defer f.Close()
	pid = readPID(f)
	if pid <= 0 || !alive(pid) {
		return 0, nil
	}
	free, err := tryLock(f) // there may be another process with that number by now
	if err != nil {
		return 0, fmt.Errorf("find who runs the spool: %s: %w", f.Name(), err)
	}
	if free {
		return 0, nil
	}
	return pid, nil
}

// Held reports whether anybody runs the spool, also where Holder cannot see the process, as that is in another container. If
// nobody does it takes the lock for a moment, in which a daemon that starts would be turned away: ask Holder first.
func (d *Dir) Held() (bool, error) {
	f, err := openRegular(d.fs, d.File(lockName), openFlags)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find out whether the spool is run: %w", err)
	}
	defer f.Close()
	free, err := tryLock(f)
	return !free && err == nil, err
}

// writePID leaves our process id for those who come later.
func writePID(f fsys.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	return err
}

// readPID returns zero when there is no number: the holder may have been about to write it.
func readPID(f fsys.File) int {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}
