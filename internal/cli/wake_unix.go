//go:build unix

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// wake sends SIGURG to the daemon with that process id. A process that is no daemon ignores this signal, unless it asks
// for it.
func wake(pid int) error {
	err := syscall.Kill(pid, syscall.SIGURG)
	switch {
	case errors.Is(err, syscall.ESRCH):
		return errNoDaemon
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("only the user of the daemon (process %d), and root, may signal it: %w", pid, err)
	}
	return err
}
