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

// lockName is never removed: a process that waits for a removed lock file would not exclude a process with a new lock
// file.
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

// ErrLockLost is the error of Here if the lock file was replaced and another process has locked the new file.
var ErrLockLost = errors.New("lock file was replaced, and another process runs the spool")

// A Lock is the lock of a spool, held by a running daemon. The lock is on a file and, if the system can lock a
// directory, also on the spool directory: if a person removes the lock file, a second daemon is still excluded. Several
// goroutines may call the methods.
type Lock struct {
	dir  *Dir
	held atomic.Pointer[holding] // of the last Acquire; nil: none
}

// holding is the result of an Acquire.
type holding struct {
	dir  fs.FileInfo
	file atomic.Pointer[lockFile] // nil: there was no room for a lock file

	mu     sync.Mutex
	opened []fsys.File // locked files; nil after unlock
	locked bool        // the directory is locked
}

type lockFile struct{ fs.FileInfo }

// Acquire makes the caller the only one to run the spool, until unlock is called or the process ends. The caller has to
// keep unlock: the garbage collector unlocks otherwise. Unlock may be called more than once. Acquire does not wait: the
// error is a *LockedError while another process, or another Dir of this process, has the lock. On a full disk a lock
// on the directory is enough.
func (l *Lock) Acquire() (unlock func(), err error) {
	h := &holding{}
	if h.dir, err = l.dir.fs.Stat(l.dir.path); err != nil {
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	if err := l.lockDir(h); err != nil {
		return nil, err
	}
	if err := l.lockFile(h); err != nil && !(h.locked && noRoom(err)) {
		h.close()
		return nil, err
	}
	before := l.held.Swap(h)
	return func() {
		l.held.CompareAndSwap(h, before) // a failed takeover leaves the lock file of before as the right one
		h.close()
	}, nil
}

// lockDir locks the directory if the system can.
func (l *Lock) lockDir(h *holding) error {
	f, err := l.dir.fs.OpenFile(l.dir.path, os.O_RDONLY, 0)
	if err != nil {
		return nil
	}
	got, err := tryLock(f)
	if err != nil || !got {
		f.Close()
	}
	switch {
	case err != nil: // not every system and file system can
	case !got:
		return l.lockedError()
	default:
		h.opened, h.locked = append(h.opened, f), true
	}
	return nil
}

// lockedError returns the error while another process has locked the directory.
func (l *Lock) lockedError() error {
	e := &LockedError{Path: l.dir.File(lockName)}
	if f, err := l.dir.fs.OpenFile(e.Path, os.O_RDONLY, 0); err == nil {
		e.PID = readPID(f)
		f.Close()
	}
	return e
}

// lockFile makes and locks the lock file. If h is in use the caller holds h.mu.
func (l *Lock) lockFile(h *holding) error {
	f, err := OpenOwnOn(l.dir.fs, l.dir.File(lockName))
	if err != nil {
		return fmt.Errorf("lock spool: %w", err)
	}
	got, err := tryLock(f)
	if err != nil {
		f.Close()
		return fmt.Errorf("lock spool: %s: %w", f.Name(), err)
	}
	if !got {
		defer f.Close()
		return &LockedError{Path: f.Name(), PID: readPID(f)}
	}
	fi, err := f.Stat()
	if err == nil {
		if err = writePID(f); noRoom(err) { // without the number the lock is a lock all the same
			err = nil
		}
	}
	if err != nil {
		release(f)
		return fmt.Errorf("lock spool: %w", err)
	}
	h.opened = append(h.opened, f)
	h.file.Store(&lockFile{fi})
	return nil
}

func (h *holding) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.opened {
		release(f)
	}
	h.opened = nil
}

// Here returns nil if the spool directory is the directory of the last Acquire, or if there was no Acquire. Errors:
// ErrReplaced if another directory has replaced the directory (a file system was mounted or unmounted, or the directory
// was made again); ErrLockLost if another process runs the spool in the same directory; fs.ErrNotExist if there is no
// directory. A removed lock file is made again.
func (l *Lock) Here() error {
	dir, err := l.dir.fs.Stat(l.dir.path)
	if err != nil {
		return fmt.Errorf("look at spool: %w", err)
	}
	h := l.held.Load()
	if h == nil {
		return nil
	}
	if !fsys.SameFile(h.dir, dir) {
		return fmt.Errorf("look at spool: %s: %w", l.dir.path, ErrReplaced)
	}
	fi, err := l.dir.fs.Lstat(l.dir.File(lockName))
	file := h.file.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist) && file == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), err == nil && (file == nil || !fsys.SameFile(file.FileInfo, fi)):
		return l.renew(h)
	case err != nil:
		return fmt.Errorf("look at spool: %w", err)
	}
	return nil
}

// renew makes and locks the lock file anew, which a person has removed.
func (l *Lock) renew(h *holding) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := l.lockFile(h)
	if errors.As(err, new(*LockedError)) {
		return fmt.Errorf("look at spool: %s: %w", l.dir.path, ErrLockLost)
	}
	if err != nil && h.locked && noRoom(err) {
		return nil // the lock on the directory is enough
	}
	return err
}

// Holder returns the process id of the holder; zero: the lock is free, or its holder is unknown. If another process has
// got the number of the last holder, Holder takes the lock for a moment.
func (l *Lock) Holder() (pid int, err error) {
	f, err := OpenReadOn(l.dir.fs, l.dir.File(lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find holder of the lock: %w", err)
	}
	defer release(f)
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

// Held reports whether the lock is held, also by a process in another container, which Holder cannot see. Held takes a
// free lock for a moment, and a daemon that starts in this moment fails: call Holder first.
func (l *Lock) Held() (bool, error) {
	f, err := openRegular(l.dir.fs, l.dir.File(lockName), openFlags)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find out whether the spool is locked: %w", err)
	}
	defer release(f)
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
