package spooldir

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"

	"github.com/unbit/spoolgore/internal/fsys"
)

const lockFlags = os.O_RDWR | os.O_CREATE

// tryLock locks f until f is closed, unless another process has the lock. The locked byte lies far behind the process
// id: other processes cannot read a locked region.
func tryLock(f fsys.File) (got bool, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	at := windows.Overlapped{Offset: 1 << 30}
	flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY)
	failed := raw.Control(func(fd uintptr) { err = windows.LockFileEx(windows.Handle(fd), flags, 0, 1, 0, &at) })
	if failed != nil {
		return false, failed
	}
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// release unlocks and closes f.
func release(f fsys.File) { f.Close() }

// alive: that the lock is held says enough.
func alive(int) bool { return true }
