//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package acceptlog

import (
	"errors"
	"os"
	"syscall"
)

// lock locks f until f is closed, or the process ends. It returns false if another process has the lock.
func lock(f *os.File) (got bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
