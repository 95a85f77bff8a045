package fsys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func renameNew(from, to string) error {
	if err := renameNewAt(unix.AT_FDCWD, from, unix.AT_FDCWD, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func renameNewAt(a int, from string, b int, to string) error {
	err := unix.Renameat2(a, from, b, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) { // NFS and others; an old kernel
		return errors.ErrUnsupported
	}
	return err
}
