package spooldir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
)

func TestWriteFile(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "status.js")
	big := strings.Repeat("0123456789", 50_000)
	is.NoErr(WriteFile(path, 0o640, writing(big)))
	text, err := os.ReadFile(path)
	is.NoErr(err)
	is.True(string(text) == big) // all data, also beyond the buffer

	is.NoErr(os.Chmod(path, 0o644))
	is.NoErr(WriteFile(path, 0o600, writing("{}")))
	fi, err := os.Stat(path)
	is.NoErr(err)
	is.Equal(fi.Mode(), fs.FileMode(0o600)) // not the mode of the old file
	is.NoErr(WriteFile(path, 0o666, writing("{}")))
	fi, err = os.Stat(path)
	is.NoErr(err)
	is.Equal(fi.Mode(), fs.FileMode(0o666)) // not reduced by the umask
	entries, err := os.ReadDir(dir)
	is.NoErr(err)
	is.Equal(len(entries), 1) // no temporary file is left
}

func TestWriteFileThatFailsKeepsTheOldOne(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "status.js")
	is.NoErr(os.WriteFile(path, []byte("old"), 0o600))
	err := WriteFile(path, 0o600, func(w io.Writer) error {
		io.WriteString(w, strings.Repeat("x", 1<<20)) // more than the buffer
		return errDisk
	})
	is.True(errors.Is(err, errDisk))
	text, err := os.ReadFile(path)
	is.NoErr(err)
	is.Equal(string(text), "old")
	entries, err := os.ReadDir(dir)
	is.NoErr(err)
	is.Equal(len(entries), 1) // no temporary file is left
}

func TestWriteFileReplacesASymlink(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	path, other := filepath.Join(dir, "status.js"), filepath.Join(dir, "other")
	is.NoErr(os.WriteFile(other, []byte("other"), 0o600))
	is.NoErr(os.Symlink("other", path))
	is.NoErr(WriteFile(path, 0o600, writing("new")))
	text, err := os.ReadFile(other)
	is.NoErr(err)
	is.Equal(string(text), "other") // the target of the link is not written to
	text, err = os.ReadFile(path)
	is.NoErr(err)
	is.Equal(string(text), "new")
}

func TestWriteFileIntoAMissingDirectory(t *testing.T) {
	is := is.New(t)
	err := WriteFile(filepath.Join(t.TempDir(), "gone", "x"), 0o600, writing("x"))
	is.True(errors.Is(err, fs.ErrNotExist))
}

func TestSyncDir(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	is.NoErr(fsys.System().SyncDir(dir))
	is.True(errors.Is(fsys.System().SyncDir(filepath.Join(dir, "gone")), fs.ErrNotExist))
}
