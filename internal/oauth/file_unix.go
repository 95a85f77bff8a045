//go:build unix

package oauth

import (
	"context"
	"os"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// lockPoll is the time between two attempts to lock the file.
const lockPoll = 50 * time.Millisecond

// lock locks the directory of the file against other processes, until unlock is called.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	for {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && isSame(f, path) {
			return func() { _ = f.Close() }, nil
		}
		_ = f.Close()
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// isSame reports whether f is still the file at path: another process may have replaced it.
func isSame(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// replace replaces the file atomically. Only its owner can read it.
func replace(path string, text []byte) error {
	return renameio.WriteFile(path, text, 0o600, renameio.IgnoreUmask(), renameio.WithExistingPermissions())
}
