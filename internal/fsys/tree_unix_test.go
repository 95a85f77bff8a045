//go:build unix

package fsys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"github.com/matryer/is"
)

const userID, otherID = 65531, 65532

// newTree returns a tree of a user, and its path. The directory above belongs to root.
func newTree(t *testing.T) (FS, string) {
	t.Helper()
	above := t.TempDir()
	for dir := above; dir != "/"; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(dir); err == nil && fi.Mode().Perm()&0o001 == 0 && os.Geteuid() == 0 {
			_ = os.Chmod(dir, fi.Mode().Perm()|0o111)
		}
	}
	root := filepath.Join(above, "spool")
	for _, dir := range []string{root, filepath.Join(root, "tmp"), filepath.Join(root, "hold")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(dir, userID, userID); err != nil {
				t.Fatal(err)
			}
		}
	}
	return NewTree(root, ".lock", "tmp", "hold"), root
}

func write(t *testing.T, elem ...string) string {
	t.Helper()
	path := filepath.Join(elem...)
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A link in place of a subdirectory is not followed.
func TestTreeFollowsNoLinkInItsPlace(t *testing.T) {
	is := is.New(t)
	tree, root := newTree(t)
	elsewhere := t.TempDir()
	secret := write(t, elsewhere, "secret")
	is.NoErr(os.Remove(filepath.Join(root, "hold")))
	is.NoErr(os.Symlink(elsewhere, filepath.Join(root, "hold")))
	message, hold := write(t, root, "m"), filepath.Join(root, "hold")
	in := filepath.Join(hold, "secret")
	for name, act := range map[string]func() error{
		"rename to":   func() error { return tree.Rename(message, filepath.Join(hold, "m")) },
		"new name to": func() error { return tree.RenameNew(message, filepath.Join(hold, "m")) },
		"link to":     func() error { return tree.Link(message, filepath.Join(hold, "m")) },
		"rename from": func() error { return tree.Rename(in, filepath.Join(root, "secret")) },
		"link from":   func() error { return tree.Link(in, filepath.Join(root, "secret")) },
		"remove":      func() error { return tree.Remove(in) },
		"touch":       func() error { return tree.Touch(in) },
		"chmod":       func() error { return tree.Chmod(in, 0o644) },
		"create": func() error {
			_, err := tree.OpenFile(filepath.Join(hold, "n"), os.O_CREATE|os.O_RDWR, 0o600)
			return err
		},
		"read":  func() error { _, err := tree.OpenFile(in, os.O_RDONLY, 0); return err },
		"list":  func() error { _, err := tree.OpenFile(hold, os.O_RDONLY, 0); return err },
		"stat":  func() error { _, err := tree.Stat(hold); return err },
		"lstat": func() error { _, err := tree.Lstat(in); return err },
		"stamp": func() error { _, err := tree.Stamp(in); return err },
		"sync":  func() error { return tree.SyncDir(hold) },
		"replace": func() error {
			return tree.Replace(in, 0o600, func(w io.Writer) error { _, err := io.WriteString(w, "y"); return err })
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			err := act()
			is.True(errors.Is(err, syscall.ENOTDIR)) // a link is not a directory
		})
	}
	text, err := os.ReadFile(secret)
	is.NoErr(err)
	is.Equal(string(text), "x")
	entries, err := os.ReadDir(elsewhere)
	is.NoErr(err)
	is.Equal(len(entries), 1) // no file was made there
}

// A link in place of a file is not followed.
func TestTreeFollowsNoLinkToAFile(t *testing.T) {
	is := is.New(t)
	tree, root := newTree(t)
	secret := write(t, t.TempDir(), "secret")
	link := filepath.Join(root, "link")
	is.NoErr(os.Symlink(secret, link))
	_, err := tree.OpenFile(link, os.O_RDWR|os.O_CREATE, 0o600)
	is.True(err != nil)
	fi, err := tree.Stat(link)
	is.NoErr(err)
	is.Equal(fi.Mode().Type(), fs.ModeSymlink)
	is.True(tree.Chmod(link, 0o777) != nil)
	is.NoErr(tree.Replace(link, 0o600, func(w io.Writer) error { return nil })) // the link is replaced, not its target
	fi, err = os.Lstat(secret)
	is.NoErr(err)
	is.Equal(fi.Size(), int64(1))
}

// A directory that was replaced after its first use is noticed. Calls before that use the open directory.
func TestTreeKeepsTheOpenDirectory(t *testing.T) {
	is := is.New(t)
	tree, root := newTree(t)
	elsewhere := t.TempDir()
	message := write(t, root, "m")
	is.NoErr(tree.SyncDir(filepath.Join(root, "hold")))
	_, err := tree.Lstat(filepath.Join(root, "hold", "m"))
	is.True(errors.Is(err, fs.ErrNotExist))
	is.NoErr(os.Rename(filepath.Join(root, "hold"), filepath.Join(root, "was")))
	is.NoErr(os.Symlink(elsewhere, filepath.Join(root, "hold")))
	is.NoErr(tree.RenameNew(message, filepath.Join(root, "hold", "m")))
	is.True(there(root, "was", "m"))
	is.True(!there(elsewhere, "m"))
	_, err = tree.Stat(root) // Stat of the path makes the tree look again
	is.NoErr(err)
	_, err = tree.Lstat(filepath.Join(root, "hold", "m"))
	is.True(errors.Is(err, syscall.ENOTDIR))
	is.NoErr(os.Remove(filepath.Join(root, "hold")))
	is.NoErr(os.Rename(filepath.Join(root, "was"), filepath.Join(root, "hold")))
	_, err = tree.Lstat(filepath.Join(root, "hold", "m"))
	is.NoErr(err)
}

// A replaced spool is used after the next Stat of its path.
func TestTreeFindsTheNewRoot(t *testing.T) {
	is := is.New(t)
	tree, root := newTree(t)
	is.NoErr(tree.Mkdir(filepath.Join(root, "x"), 0o700))
	is.NoErr(os.Rename(root, root+".old"))
	is.NoErr(os.Mkdir(root, 0o700))
	write(t, root, "new")
	f, err := tree.OpenFile(root, os.O_RDONLY, 0)
	is.NoErr(err)
	names, err := f.Readdirnames(-1)
	is.NoErr(err)
	is.Equal(names, []string{"new"})
	is.NoErr(f.Close())
}

// Entries of a list can be examined after the list was closed, and after their path has become another directory.
func TestTreeListsRelativeToTheDirectory(t *testing.T) {
	is := is.New(t)
	tree, root := newTree(t)
	write(t, root, "hold", "m")
	f, err := tree.OpenFile(filepath.Join(root, "hold"), os.O_RDONLY, 0)
	is.NoErr(err)
	entries, err := f.ReadDir(-1)
	is.NoErr(err)
	is.NoErr(f.Close())
	is.Equal(len(entries), 1)
	is.NoErr(os.Rename(filepath.Join(root, "hold"), filepath.Join(root, "was")))
	fi, err := entries[0].Info()
	is.NoErr(err)
	is.Equal(fi.Size(), int64(1))
	other, err := os.Stat(filepath.Join(root, "was", "m"))
	is.NoErr(err)
	is.True(SameFile(fi, other))
	is.Equal(fi.Mode(), other.Mode())
	is.True(fi.ModTime().Equal(other.ModTime()))
}

func there(elem ...string) bool {
	_, err := os.Lstat(filepath.Join(elem...))
	return err == nil
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// A subdirectory that belongs to another user than root, the owner of the spool or the daemon is refused.
func TestTreeRefusesADirectoryOfAnotherUser(t *testing.T) {
	needRoot(t)
	for name, row := range map[string]struct {
		owner, lock int
		refused     bool
	}{
		"root":      {0, -1, false},
		"owner":     {userID, -1, false},
		"other":     {otherID, -1, true},
		"daemon":    {otherID, otherID, false},
		"no daemon": {otherID, userID, true},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			tree, root := newTree(t)
			is.NoErr(os.Chown(filepath.Join(root, "hold"), row.owner, row.owner))
			if row.lock >= 0 {
				is.NoErr(os.Chown(write(t, root, ".lock"), row.lock, row.lock))
			}
			err := tree.Rename(write(t, root, "m"), filepath.Join(root, "hold", "m"))
			is.Equal(err != nil, row.refused)
			is.Equal(errors.As(err, new(*OwnerError)), row.refused)
			// ENOTDIR, so that the spool works without the subdirectory
			is.Equal(errors.Is(err, syscall.ENOTDIR), row.refused)
		})
	}
}

// Root follows a link above the spool only if the link belongs to root or to the owner of the spool.
func TestTreeOfRootRefusesALinkOfAnotherUser(t *testing.T) {
	needRoot(t)
	for name, row := range map[string]struct {
		link, dir int
		refused   bool
	}{
		"root's":              {0, userID, false},
		"user's own":          {userID, userID, false},
		"to root's":           {userID, 0, true},
		"to another user's":   {userID, otherID, true},
		"root's, to its own":  {0, 0, false},
		"root's, to user's 2": {0, otherID, false},
	} {
		for _, above := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				is := is.New(t)
				_, root := newTree(t)
				is.NoErr(os.Chown(root, row.dir, row.dir))
				target, path := root, filepath.Join(t.TempDir(), "link")
				link := path
				if above {
					target, path = filepath.Dir(root), filepath.Join(path, "spool")
				}
				is.NoErr(os.Symlink(target, link))
				is.NoErr(os.Lchown(link, row.link, row.link))
				err := NewTree(path, ".lock").Mkdir(filepath.Join(path, "x"), 0o700)
				is.Equal(err != nil, row.refused)
				path = filepath.Join(path, "new") // a spool that does not exist yet
				err = NewTree(path, ".lock").Mkdir(path, 0o700)
				is.Equal(err != nil, row.refused)
			})
		}
	}
}

// Files that root makes in a tree belong to the owner of the directory.
func TestRootMakesFilesOfATreeForItsOwner(t *testing.T) {
	needRoot(t)
	is := is.New(t)
	tree, root := newTree(t)
	f, err := tree.OpenFile(filepath.Join(root, "tmp", "m"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	is.NoErr(err)
	is.NoErr(f.Close())
	is.NoErr(tree.Mkdir(filepath.Join(root, "sub"), 0o700))
	is.NoErr(tree.Replace(filepath.Join(root, "status"), 0o600, func(io.Writer) error { return nil }))
	for _, name := range []string{"tmp/m", "sub", "status"} {
		fi, err := os.Stat(filepath.Join(root, name))
		is.NoErr(err)
		st := fi.Sys().(*syscall.Stat_t)
		is.Equal([2]uint32{st.Uid, st.Gid}, [2]uint32{userID, userID})
	}
}

// Mkdir makes the directory of a tree itself, for the owner of the directory above. The parent must exist, and an
// existing directory or file is left alone.
func TestTreeMakesItsRoot(t *testing.T) {
	is := is.New(t)
	_, above := newTree(t)
	root := filepath.Join(above, "new")
	tree := NewTree(root, ".lock", "tmp")
	is.NoErr(tree.Mkdir(root, 0o700))
	is.NoErr(tree.Mkdir(filepath.Join(root, "tmp"), 0o700))
	for _, dir := range []string{root, filepath.Join(root, "tmp")} {
		fi, err := os.Lstat(dir)
		is.NoErr(err)
		is.Equal(fi.Mode(), fs.ModeDir|0o700)
		if os.Geteuid() == 0 {
			is.Equal(fi.Sys().(*syscall.Stat_t).Uid, uint32(userID))
		}
	}
	is.True(errors.Is(tree.Mkdir(root, 0o700), fs.ErrExist))
	is.True(errors.Is(NewTree(filepath.Join(above, "no", "new"), ".lock").Mkdir(filepath.Join(above, "no", "new"), 0o700),
		fs.ErrNotExist))
	link := filepath.Join(above, "link")
	is.NoErr(os.Symlink("elsewhere", link))
	is.True(errors.Is(NewTree(link, ".lock").Mkdir(link, 0o700), fs.ErrExist))
	_, err := os.Lstat(filepath.Join(above, "elsewhere"))
	is.True(errors.Is(err, fs.ErrNotExist))
}

// The facts of a file are allocated for each message.
func TestFactsOfAFileAreSmall(t *testing.T) {
	is := is.New(t)
	is.True(unsafe.Sizeof(info{}) <= 96)
}

func TestNodeIsThatOfTheSystem(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	is.NoErr(os.WriteFile(name, []byte("text"), 0o640))
	is.NoErr(os.Link(name, filepath.Join(dir, "other")))
	fi, err := os.Lstat(name)
	is.NoErr(err)
	want, ok := NodeOf(fi)
	is.True(ok)
	is.Equal(want.Links, uint64(2))
	ours, err := NewTree(dir, "lock").Lstat(name)
	is.NoErr(err)
	got, ok := NodeOf(ours)
	is.True(ok)
	is.Equal(got, want)
	is.True(SameFile(fi, ours))
	a, b := ours.Sys().(*syscall.Stat_t), fi.Sys().(*syscall.Stat_t)
	is.True(a.Dev == b.Dev && a.Ino == b.Ino && a.Nlink == b.Nlink && a.Mode == b.Mode)
	is.True(a.Uid == b.Uid && a.Gid == b.Gid && a.Size == b.Size)
}
