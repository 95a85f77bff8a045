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

// WriteFile replaces the file at path by the output of write, and returns after the new file would survive a power cut.
// At every moment path holds a complete document, the old or the new. The new file has exactly the permission bits
// perm, independent of the umask and of the old file. A symbolic link at path is replaced, not followed. After an error
// of write, or of the disk before the replacement, path has the old file; if only the sync of the directory failed,
// path has the new file.
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
