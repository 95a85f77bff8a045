package spooldir

import (
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/unbit/spoolgore/internal/fsys"
)

// OpenOwn opens one of the daemon's files for reading and writing. A missing file is made, with mode 0600.
// ErrNotRegular: the file is no regular file, such as a symbolic link put there by another user.
func OpenOwn(path string) (fsys.File, error) { return OpenOwnOn(fsys.System(), path) }

// OpenOwnOn is OpenOwn on the file system on.
func OpenOwnOn(on fsys.FS, path string) (fsys.File, error) {
	return openRegular(on, path, lockFlags|openFlags)
}

// OpenAppendOn is OpenOwnOn for a file to which lines are appended.
func OpenAppendOn(on fsys.FS, path string) (fsys.File, error) {
	return openRegular(on, path, lockFlags|openFlags|os.O_APPEND)
}

// OpenRead opens such a file for reading, perhaps by another user. Like OpenOwn it never waits, not even for a FIFO.
func OpenRead(path string) (fsys.File, error) { return OpenReadOn(fsys.System(), path) }

// OpenReadOn is OpenRead on the file system on.
func OpenReadOn(on fsys.FS, path string) (fsys.File, error) { return openRegular(on, path, openFlags) }

// maxOwn is the largest file that ReadOn reads. A file without blocks (sparse) can be larger than the memory.
const maxOwn = 64 << 20

// ReadOn returns the content of a file that OpenReadOn opens. A file larger than 64 MiB is an error.
func ReadOn(on fsys.FS, path string) ([]byte, error) {
	f, err := OpenReadOn(on, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxOwn+1))
	if err == nil && len(text) > maxOwn {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errTooLarge}
	}
	return text, err
}

var errTooLarge = fmt.Errorf("larger than %d MiB", maxOwn>>20)

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
