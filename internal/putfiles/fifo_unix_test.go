//go:build unix

package putfiles

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

func TestPutDoesNotWaitForAFIFO(t *testing.T) {
	is := is.New(t)
	dir, err := spooldir.New(t.TempDir())
	is.NoErr(err)
	path := filepath.Join(t.TempDir(), "fifo")
	is.NoErr(syscall.Mkfifo(path, 0o600))
	_, err = Put(dir, path, Options{}) // no process writes to the FIFO
	is.True(err != nil && strings.Contains(err.Error(), "not a regular file"))
}
