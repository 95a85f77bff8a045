//go:build unix

package fsys

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// New files that root makes in a directory of another user belong to that user. Existing files, and files elsewhere,
// stay root's.
func TestRootMakesFilesForTheOwnerOfTheDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	is := is.New(t)
	const user, group = 65534, 65533
	roots, dir := t.TempDir(), filepath.Join(t.TempDir(), "spool")
	is.NoErr(os.Mkdir(dir, 0o700))
	is.NoErr(os.Chown(dir, user, group))
	owner := func(elem ...string) [2]uint32 {
		fi, err := os.Stat(filepath.Join(elem...))
		is.NoErr(err)
		st := fi.Sys().(*syscall.Stat_t)
		return [2]uint32{st.Uid, st.Gid}
	}
	create := func(path string) {
		f, err := System().OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		is.NoErr(err)
		is.NoErr(f.Close())
	}
	write := func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }
	create(filepath.Join(dir, "file"))
	is.NoErr(System().Mkdir(filepath.Join(dir, "sub"), 0o700))
	is.NoErr(System().Replace(filepath.Join(dir, "replaced"), 0o600, write))
	for _, name := range []string{"file", "sub", "replaced"} {
		is.Equal(owner(dir, name), [2]uint32{user, group})
	}
	create(filepath.Join(roots, "secret"))
	is.NoErr(os.Symlink(filepath.Join(roots, "secret"), filepath.Join(dir, "symlink")))
	is.NoErr(os.Link(filepath.Join(roots, "secret"), filepath.Join(dir, "link")))
	create(filepath.Join(dir, "symlink"))
	create(filepath.Join(dir, "link"))
	is.Equal(owner(roots, "secret"), [2]uint32{0, uint32(os.Getegid())})
}
