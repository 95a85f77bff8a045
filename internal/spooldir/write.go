package spooldir

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/unbit/spoolgore/internal/fsys"
)

// bufferSize is large enough that a status file of many entries costs few system calls.
const bufferSize = 64 << 10

// WriteFile replaces the file at path by what write writes, and returns when that would survive a power cut. At every
// moment path holds a whole document, the old one or the new one. The new file has exactly the permission bits perm,
// whatever the umask or the bits of the old one; a symbolic link at path is replaced, not followed. After an error of
// write, or of the disk before the replacement, the old file is still there; if only the sync of the directory failed,
// the new one is.
func WriteFile(path string, perm fs.FileMode, write func(io.Writer) error) error {
	return WriteFileOn(fsys.System(), path, perm, write)
}

// WriteFileOn is WriteFile on the file system on.
func WriteFileOn(on fsys.FS, path string, perm fs.FileMode, write func(io.Writer) error) error {
	if err := on.Replace(path, perm, func(w io.Writer) error { return buffered(w, write) }); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := on.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// buffered runs write with a buffer in front of w.
func buffered(w io.Writer, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, bufferSize)
	if err := write(b); err != nil {
		return err
	}
	return b.Flush()
}
