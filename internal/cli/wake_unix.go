//go:build unix

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// canWake says whether a daemon can be told to try everything.
const canWake = true

// wake tells the daemon with that process id to try everything now. Whoever does not know this signal ignores it, should
// the daemon have ended by now.
func wake(pid int) error {
	err := syscall.Kill(pid, syscall.SIGURG)
	switch {
	case errors.Is(err, syscall.ESRCH):
		return errNoDaemon
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("only the user who runs the daemon (process %d), and root, may tell it: %w", pid, err)
	}
	return err
}
