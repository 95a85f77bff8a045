package spooldir

import (
	"io/fs"
	"os"
)

// OpenOwn opens a file of the daemon's own to be read and written, and makes it, with mode 0600, if it is missing. It
// refuses with ErrNotRegular what is no regular file, such as a symbolic link that somebody has put in its place.
func OpenOwn(path string) (*os.File, error) { return openRegular(path, lockFlags|openFlags) }

// OpenRead opens such a file to be read only, perhaps by another user. Like OpenOwn it never waits, not even for a FIFO.
func OpenRead(path string) (*os.File, error) { return openRegular(path, openFlags) }

func openRegular(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: openReason(err)}
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
