//go:build unix

package spooldir

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
)

// Another user may put a FIFO or a link in place of a file of the daemon.
func TestOwnFilesAreRegular(t *testing.T) {
	for kind, put := range map[string]func(path string) error{
		"FIFO": func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"link": func(path string) error { return os.Symlink("/etc/passwd", path) },
	} {
		t.Run(kind, func(t *testing.T) {
			is := is.New(t)
			dir, err := New(t.TempDir())
			is.NoErr(err)
			for _, name := range []string{lockName, RateFile, StateFile} {
				is.NoErr(put(dir.File(name)))
			}
			_, err = dir.Lock().Holder()
			is.True(errors.Is(err, ErrNotRegular))
			_, err = dir.Lock().Acquire()
			is.True(errors.Is(err, ErrNotRegular))
			_, err = ReadOn(fsys.System(), dir.File(RateFile))
			is.True(errors.Is(err, ErrNotRegular))
			_, err = OpenRead(filepath.Join(dir.Path(), StateFile))
			is.True(errors.Is(err, ErrNotRegular))
		})
	}
}

func TestHugeOwnFileIsNotRead(t *testing.T) {
	is := is.New(t)
	path := filepath.Join(t.TempDir(), RateFile)
	is.NoErr(os.WriteFile(path, nil, 0o600))
	is.NoErr(os.Truncate(path, maxOwn)) // a sparse file
	text, err := ReadOn(fsys.System(), path)
	is.NoErr(err)
	is.Equal(len(text), maxOwn)
	is.NoErr(os.Truncate(path, 1<<40))
	_, err = ReadOn(fsys.System(), path)
	is.True(errors.Is(err, errTooLarge)) // the memory does not depend on the size of the file
}
