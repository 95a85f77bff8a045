package spooldir

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// linkMove renames from to to without overwriting (fs.ErrExist), by means that every system has: link, then unlink.
// In between the file has two names, and Open refuses it; Recover takes one of them away if a crash leaves it so.
func linkMove(from, to string) error { return moveByLink(from, to, os.Link, os.Remove) }

func moveByLink(from, to string, link func(from, to string) error, remove func(path string) error) error {
	err := link(from, to)
	if errors.Is(err, fs.ErrExist) && sameFile(from, to) {
		err = nil // NFS may have done it and lost its answer, and the second request finds it done
	}
	if err == nil {
		if err := remove(from); err != nil {
			return errors.Join(err, remove(to))
		}
		return nil
	}
	if !linkless(err) {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(from, to) // the best that is left
}

// linkless reports whether err says that hard links are not to be had: on this file system, or of a file that
// belongs to somebody else.
func linkless(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK) || errors.Is(err, errors.ErrUnsupported)
}
