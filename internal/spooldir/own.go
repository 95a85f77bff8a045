package spooldir

import (
	"io/fs"

	"github.com/unbit/spoolgore/internal/fsys"
)

// OpenOwn opens a file of the daemon's own to be read and written, and makes it, with mode 0600, if it is missing. It
// refuses with ErrNotRegular what is no regular file, such as a symbolic link that somebody has put in its place.
func OpenOwn(path string) (fsys.File, error) { return OpenOwnOn(fsys.System(), path) }

// OpenOwnOn is OpenOwn on the file system on.
func OpenOwnOn(on fsys.FS, path string) (fsys.File, error) {
	return openRegular(on, path, lockFlags|openFlags)
}

// OpenRead opens such a file to be read only, perhaps by another user. Like OpenOwn it never waits, not even for a FIFO.
func OpenRead(path string) (fsys.File, error) { return openRegular(fsys.System(), path, openFlags) }

func openRegular(on fsys.FS, path string, flags int) (fsys.File, error) {
	f, err := on.OpenFile(path, flags, 0o600)
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
