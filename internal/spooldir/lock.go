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
	"sync/atomic"

	"github.com/unbit/spoolgore/internal/fsys"
)

// lockName is never removed: a process that waits for a removed lock file would not exclude one that makes a new file.
const lockName = LockFile

// A LockedError is the error of Acquire while another process, or another Dir of the process, runs the spool.
type LockedError struct {
	Path string // of the lock file
	PID  int    // of the holder; zero: unknown
}

// Error implements error.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is locked by another process", e.Path)
	}
	return fmt.Sprintf("%s is locked by process %d", e.Path, e.PID)
}

// ErrReplaced is the error of Here if another directory has taken the place of the locked spool directory.
var ErrReplaced = errors.New("spool directory is another one now")

// A Lock is the lock of a spool, which the daemon holds while it runs. Methods may be called by several goroutines.
type Lock struct {
	dir    *Dir
	locked atomic.Pointer[fs.FileInfo] // the lock file of the last Acquire; nil: none
}

// Acquire makes the caller the only one to run the spool, until unlock is called or the process ends. The caller has to
// keep unlock: the garbage collector unlocks otherwise. Unlock may be called more than once. Acquire does not wait: the
// error is a *LockedError while another process, or another Dir of this process, has the lock.
func (l *Lock) Acquire() (unlock func(), err error) {
	f, err := l.dir.fs.OpenFile(l.dir.File(lockName), lockFlags, 0o600)
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
	before := l.locked.Swap(&fi)
	return sync.OnceFunc(func() {
		l.locked.CompareAndSwap(&fi, before) // a failed takeover leaves the lock file of before as the right one
		f.Close()
	}), nil
}

// Here returns nil if the spool directory is the one of the last Acquire, or if there was no Acquire. Errors:
// ErrReplaced if another directory has taken its place (a file system was mounted or unmounted, or the directory was
// made anew); fs.ErrNotExist if there is no directory.
func (l *Lock) Here() error {
	if _, err := l.dir.fs.Stat(l.dir.path); err != nil {
		return fmt.Errorf("look at spool: %w", err)
	}
	locked := l.locked.Load()
	if locked == nil {
		return nil
	}
	fi, err := l.dir.fs.Lstat(l.dir.File(lockName))
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !os.SameFile(*locked, fi):
		return fmt.Errorf("look at spool: %s: %w", l.dir.path, ErrReplaced)
	case err != nil:
		return fmt.Errorf("look at spool: %w", err)
	}
	return nil
}

// Holder returns the process id of the holder; zero: the lock is free, or its holder is unknown. If another process has
// got the number of the last holder, Holder takes the lock for a moment.
func (l *Lock) Holder() (pid int, err error) {
	f, err := l.dir.fs.OpenFile(l.dir.File(lockName), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find holder of the lock: %w", err)
	}
	defer f.Close()
	pid = readPID(f)
	if pid <= 0 || !alive(pid) {
		return 0, nil
	}
	free, err := tryLock(f)
	if err != nil {
		return 0, fmt.Errorf("find holder of the lock: %s: %w", f.Name(), err)
	}
	if free || !holds(f, pid) {
		return 0, nil
	}
	return pid, nil
}

// Held reports whether the lock is held, also by a process that Holder cannot see, as in another container. Held
// takes a free lock for a moment, in which a starting daemon would fail: call Holder first.
func (l *Lock) Held() (bool, error) {
	f, err := openRegular(l.dir.fs, l.dir.File(lockName), openFlags)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find out whether the spool is locked: %w", err)
	}
	defer f.Close()
	free, err := tryLock(f)
	return !free && err == nil, err
}

// writePID writes the id of the process for Holder.
func writePID(f fsys.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	return err
}

// readPID returns zero if the file has no number, as between locking and writing.
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
