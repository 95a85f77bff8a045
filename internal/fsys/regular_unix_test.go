//go:build unix

package fsys

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// A file of the configuration may belong to another user: no kind of file blocks the reader or fills the memory.
func TestReadRegular(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	is.NoErr(os.WriteFile(path("file"), []byte("text"), 0o600))
	is.NoErr(os.Symlink(path("file"), path("link")))
	is.NoErr(syscall.Mkfifo(path("fifo"), 0o600))
	is.NoErr(os.WriteFile(path("sparse"), nil, 0o600))
	is.NoErr(os.Truncate(path("sparse"), 1<<40))
	for _, name := range []string{"file", "link"} {
		text, info, err := ReadRegular(path(name), 4)
		is.NoErr(err)
		is.Equal(string(text), "text")
		is.True(info.Mode().IsRegular())
	}
	for name, want := range map[string]string{
		path("fifo"): "not a regular file", dir: "not a regular file", "/dev/zero": "not a regular file",
		path("sparse"): "larger than 4 bytes", path("gone"): "no such file",
	} {
		_, _, err := ReadRegular(name, 4)
		is.True(err != nil && strings.Contains(err.Error(), want))
	}
}
