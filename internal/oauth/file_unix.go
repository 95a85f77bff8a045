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
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // another user may own the file: it may be a FIFO
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

// replace replaces the file atomically. Only its owner can read it. The owner stays the same: root may log in for the
// user of the daemon.
func replace(path string, text []byte) error {
	f, err := renameio.NewPendingFile(path, renameio.WithStaticPermissions(0o600), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
	if err := own(f.File, path); err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// own gives f the owner and the group of the file at path, if root has made f.
func own(f *os.File, path string) error {
	var was unix.Stat_t
	if err := unix.Lstat(path, &was); err != nil || os.Geteuid() != 0 {
		return err
	}
	return f.Chown(int(was.Uid), int(was.Gid))
}
