//go:build unix

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A FIFO in place of the status file or of the rates would block the start, and a link would lead to another file.
func TestStatusAndRateFilesAreRegular(t *testing.T) {
	is := is.New(t)
	for _, put := range []func(path string) error{
		func(path string) error { return syscall.Mkfifo(path, 0o666) },
		func(path string) error { return os.Symlink("/dev/null", path) },
	} {
		dir, err := spooldir.New(t.TempDir())
		is.NoErr(err)
		status := filepath.Join(dir.Path(), ".spoolgore.js")
		is.NoErr(put(status))
		is.NoErr(put(dir.File(spooldir.RateFile)))
		err = ReadStatus(dir, status, func(string, *record.Message) {})
		is.True(errors.Is(err, spooldir.ErrNotRegular))
		is.True(errors.Is((&rate{dir: dir}).load(), spooldir.ErrNotRegular))
	}
}
