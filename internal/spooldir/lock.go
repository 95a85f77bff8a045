package spooldir

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
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

// Lock makes the caller the only one to run the spool, until unlock is called or the process ends, in whatever way. Keep
// unlock: the lock goes with it; it may be called more than once. Lock does not wait: while another process, or another
// Dir in this one, has the lock, it returns a *LockedError.
func (d *Dir) Lock() (unlock func(), err error) {
	f, err := os.OpenFile(d.File(lockName), lockFlags, 0o600)
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
	if err := writePID(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock spool: %w", err)
	}
	// Closing gives up the lock, and if nobody kept unlock the garbage collector would close it.
	return sync.OnceFunc(func() { f.Close() }), nil
}

// writePID leaves our process id for those who come later.
func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	return err
}

// readPID returns zero when there is no number: the holder may have been about to write it.
func readPID(f *os.File) int {
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
