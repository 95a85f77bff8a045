//go:build unix

package daemonstate

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// Other users may write to the directory: only a regular file is opened, so the read does not block.
func TestReadOpensRegularFilesOnly(t *testing.T) {
	is := is.New(t)
	for kind, make := range map[string]func(path string) error{
		"FIFO":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"symbolic link": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		dir := t.TempDir()
		is.NoErr(make(filepath.Join(dir, Name)))
		_, ok, err := Read(dir)
		t.Log(kind, err)
		is.True(!ok)
		is.True(errors.Is(err, spooldir.ErrNotRegular))
	}
}
