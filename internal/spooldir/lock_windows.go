package spooldir

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

const lockFlags = os.O_RDWR | os.O_CREATE

// tryLock locks f until it is closed, if nobody else has. The locked byte lies far behind the process id: a locked
// region cannot be read by others.
func tryLock(f *os.File) (got bool, err error) {
	at := windows.Overlapped{Offset: 1 << 30}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// alive: that the lock is held says enough.
func alive(int) bool { return true }
