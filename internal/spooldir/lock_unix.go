//go:build unix

package spooldir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/fsys"
)

const lockFlags = os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW

// tryLock locks f until f is closed, unless another process has the lock.
func tryLock(f fsys.File) (got bool, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var flock error
	err = raw.Control(func(fd uintptr) {
		for {
			if flock = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB); flock != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return false, err
	}
	if errors.Is(flock, unix.EWOULDBLOCK) {
		return false, nil
	}
	return flock == nil, flock
}

// release unlocks and closes f. Closing alone is not enough: a process that another goroutine is about to execute has
// a copy of the descriptor until then, and with it the lock.
func release(f fsys.File) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Flock(int(fd), unix.LOCK_UN) })
	}
	f.Close()
}

// alive reports whether there is a process with that id.
func alive(pid int) bool { return !errors.Is(unix.Kill(pid, 0), unix.ESRCH) }
