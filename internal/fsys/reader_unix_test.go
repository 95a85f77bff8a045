//go:build unix

package fsys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/matryer/is"
)

// A file opened for reading behaves like an *os.File, before and after the first call that needs one.
func TestReaderIsAFile(t *testing.T) {
	for _, name := range []string{"as it is opened", "after Seek"} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			path := filepath.Join(dir, "m")
			is.NoErr(os.WriteFile(path, []byte("0123456789"), 0o600))
			f, err := NewTree(dir, "lock").OpenFile(path, os.O_RDONLY, 0)
			is.NoErr(err)
			if name == "after Seek" {
				_, err := f.Seek(0, io.SeekStart)
				is.NoErr(err)
			}
			is.Equal(f.Name(), path)
			var b [4]byte
			n, err := f.ReadAt(b[:], 3)
			is.NoErr(err)
			is.Equal(string(b[:n]), "3456")
			n, err = f.ReadAt(b[:], 8)
			is.Equal(err, io.EOF) // with the rest of the data
			is.Equal(string(b[:n]), "89")
			_, err = f.ReadAt(b[:], -1)
			is.True(err != nil && err != io.EOF)
			fi, err := f.Stat()
			is.NoErr(err)
			is.Equal(fi.Name(), "m")
			is.Equal(fi.Size(), int64(10))
			want, err := os.Lstat(path)
			is.NoErr(err)
			is.True(os.SameFile(want, want) && SameFile(want, fi)) // the same inode
			raw, err := f.SyscallConn()
			is.NoErr(err)
			called := false
			is.NoErr(raw.Control(func(fd uintptr) { called = fd > 2 }))
			is.True(called)
			_, err = f.Write([]byte("x"))
			is.True(err != nil) // not opened for writing
			text, err := io.ReadAll(f)
			is.NoErr(err)
			is.Equal(string(text), "0123456789")
			is.NoErr(f.Close())
			_, err = f.ReadAt(b[:], 0)
			is.True(errors.Is(err, fs.ErrClosed))
			_, err = f.Stat()
			is.True(errors.Is(err, fs.ErrClosed))
			is.True(errors.Is(f.Close(), fs.ErrClosed))
		})
	}
}

func TestReaderThatIsClosedUnused(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "m")
	is.NoErr(os.WriteFile(path, nil, 0o600))
	f, err := NewTree(dir, "lock").OpenFile(path, os.O_RDONLY, 0)
	is.NoErr(err)
	is.NoErr(f.Close())
	_, err = f.ReadAt(make([]byte, 1), 0)
	is.True(errors.Is(err, fs.ErrClosed))
	_, err = f.Stat()
	is.True(errors.Is(err, fs.ErrClosed))
	_, err = f.Read(make([]byte, 1))
	is.True(err != nil) // another file may have the number of the descriptor
	is.True(f.Close() != nil)
}
