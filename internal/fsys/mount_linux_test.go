package fsys

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"
)

// A read-only mount of the same directory over the directory is noticed at the next look, and so is its end.
func TestTreeFindsAnotherMountOfTheDirectory(t *testing.T) {
	runtime.LockOSThread() // without unlocking: the thread, with its own mounts, ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skip("needs mounts of its own: ", err)
	}
	is := is.New(t)
	is.NoErr(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	tree, root := newTree(t)
	if mountOf(unix.AT_FDCWD, root, 0) == 0 {
		t.Skip("the kernel tells no numbers of mounts")
	}
	create := func(elem ...string) error {
		_, err := tree.Stat(root)
		is.NoErr(err)
		f, err := tree.OpenFile(filepath.Join(elem...), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
		}
		return err
	}
	cover := func(path string) {
		is.NoErr(unix.Mount(path, path, "", unix.MS_BIND, ""))
		is.NoErr(unix.Mount("none", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	tmp := filepath.Join(root, "tmp")
	is.NoErr(create(root, "a"))
	is.NoErr(create(tmp, "a"))

	cover(tmp)
	is.NoErr(create(root, "b"))
	is.True(errors.Is(create(tmp, "b"), unix.EROFS))
	is.NoErr(unix.Unmount(tmp, unix.MNT_DETACH))
	is.NoErr(create(tmp, "b"))

	cover(root)
	is.True(errors.Is(create(root, "c"), unix.EROFS))
	is.True(errors.Is(create(tmp, "c"), unix.EROFS))
	is.NoErr(unix.Unmount(root, unix.MNT_DETACH))
	is.NoErr(create(root, "c"))
	is.NoErr(create(tmp, "c"))
}
