package spooldir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// moveNew renames from to to, in one step, without ever overwriting (fs.ErrExist).
func moveNew(from, to string) error { return moveOr(from, to, linkMove) }

// moveOr is moveNew with what to do where the system has no such step.
func moveOr(from, to string, other func(from, to string) error) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, errors.ErrUnsupported): // NFS and others; an old kernel
		return other(from, to)
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}
