//go:build unix

package fsys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// NewTree returns the file system of a spool: the directory root, an absolute path, and the subdirectories subs. Each
// directory is opened at its first use, without following a link. Every call for a file is relative to the open
// directory, with one base name that is not followed either (openat, renameat2, linkat, unlinkat). So a link of another
// user in place of a subdirectory, or of a directory above, leads no call elsewhere. A path in none of the directories
// goes to the file system of the system. NewTree opens no file.
//
// A subdirectory is refused (OwnerError) unless the owner is root, the owner of root, the user of the process, or the
// owner of the file lock in root, the user of the daemon. As root, a path to root with a link is refused unless the
// link belongs to root or to the owner of the directory.
//
// Stat, Stamp and OpenFile of root look at the path. If another directory is there, or another mount of the directory,
// the next calls use that directory. After such a look the next call looks at the subdirectory, too.
func NewTree(root, lock string, subs ...string) FS {
	d := &directories{root: root, prefix: strings.TrimSuffix(root, "/") + "/", lock: lock}
	for _, name := range subs {
		d.subs = append(d.subs, &sub{name: name, path: filepath.Join(root, name)})
	}
	return &tree{directories: d}
}

// A tree is the FS of NewTree.
type tree struct {
	system
	*directories
}

// entry calls act with the directory and the base name of path. Its error is a *fs.PathError. It returns false if path
// is in no directory of the tree.
func (t *tree) entry(op, path string, act func(dir *directory, base string) error) (inTree bool, err error) {
	dir, base, err := t.split(path)
	if err == nil && dir == nil {
		return false, nil
	}
	if err == nil {
		if base == "" {
			base = "."
		}
		err = retry(func() error { return act(dir, base) })
		runtime.KeepAlive(dir)
	}
	if err != nil {
		err = &fs.PathError{Op: op, Path: path, Err: err}
	}
	return true, err
}

// pair is entry for two paths. Its error is a *os.LinkError.
func (t *tree) pair(op, from, to string, act func(a *directory, from string, b *directory, to string) error) (
	inTree bool, err error) {
	a, old, err := t.split(from)
	var b *directory
	var target string
	if err == nil {
		b, target, err = t.split(to)
	}
	if err == nil && (a == nil || b == nil || old == "" || target == "") {
		return false, nil
	}
	if err == nil {
		err = retry(func() error { return act(a, old, b, target) })
		runtime.KeepAlive(a)
		runtime.KeepAlive(b)
	}
	if err != nil {
		err = &os.LinkError{Op: op, Old: from, New: to, Err: err}
	}
	return true, err
}

// retry calls act again while a signal interrupts it.
func retry(act func() error) error {
	for {
		if err := act(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func fstatat(dir int, name string, st *unix.Stat_t) error {
	return retry(func() error { return unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW) })
}

// Stat does not follow a link to a file in the tree. Of a subdirectory it fails if the subdirectory is refused.
func (t *tree) Stat(path string) (fs.FileInfo, error) {
	var st *unix.Stat_t
	var err error
	if path == t.root {
		st, err = t.look()
	} else if dir, selfErr := t.self(path); dir != nil {
		st = new(unix.Stat_t)
		err = unix.Fstat(dir.fd, st)
		runtime.KeepAlive(dir)
	} else if err = selfErr; err == nil {
		return t.Lstat(path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return newInfo(filepath.Base(path), st), nil
}

func (t *tree) Lstat(path string) (fs.FileInfo, error) {
	if path == t.root {
		return t.system.Lstat(path)
	}
	if name, ok := strings.CutPrefix(path, t.prefix); ok {
		if s := t.sub(name); s != nil {
			t.recheck(s)
		}
	}
	st := new(unix.Stat_t)
	inTree, err := t.entry("lstat", path, func(dir *directory, base string) error {
		return unix.Fstatat(dir.fd, base, st, unix.AT_SYMLINK_NOFOLLOW)
	})
	switch {
	case !inTree:
		return t.system.Lstat(path)
	case err != nil:
		return nil, err
	}
	return newInfo(filepath.Base(path), st), nil
}

func (t *tree) Stamp(path string) (Stamp, error) {
	if path == t.root {
		st, err := t.look()
		if err != nil {
			return Stamp{}, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		return stampOf(st), nil
	}
	st := new(unix.Stat_t)
	inTree, err := t.entry("stat", path, func(dir *directory, base string) error {
		return unix.Fstatat(dir.fd, base, st, unix.AT_SYMLINK_NOFOLLOW)
	})
	switch {
	case !inTree:
		return t.system.Stamp(path)
	case err != nil:
		return Stamp{}, err
	}
	return stampOf(st), nil
}

// Mkdir of root opens the parent directory of root for this call.
func (t *tree) Mkdir(path string, perm fs.FileMode) error {
	if path == t.root {
		if err := makeRoot(path, perm); err != nil {
			return &fs.PathError{Op: "mkdir", Path: path, Err: err}
		}
		return nil
	}
	inTree, err := t.entry("mkdir", path, func(dir *directory, base string) error { return dir.mkdir(base, perm) })
	if !inTree {
		return t.system.Mkdir(path, perm)
	}
	return err
}

// Chmod does not follow a link.
func (t *tree) Chmod(path string, mode fs.FileMode) error {
	inTree, err := t.entry("chmod", path, func(dir *directory, base string) error {
		fd, err := unix.Openat(dir.fd, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fchmod(fd, modeBits(mode))
	})
	if !inTree {
		return t.system.Chmod(path, mode)
	}
	return err
}

func (t *tree) Touch(path string) error {
	inTree, err := t.entry("touch", path, func(dir *directory, base string) error { return touchAt(dir.fd, base) })
	if !inTree {
		return t.system.Touch(path)
	}
	return err
}

func (t *tree) Remove(path string) error {
	inTree, err := t.entry("remove", path, func(dir *directory, base string) error {
		err := unix.Unlinkat(dir.fd, base, 0)
		if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) { // a directory, as os.Remove removes one
			if dirErr := unix.Unlinkat(dir.fd, base, unix.AT_REMOVEDIR); !errors.Is(dirErr, unix.ENOTDIR) {
				return dirErr
			}
		}
		return err
	})
	if !inTree {
		return t.system.Remove(path)
	}
	return err
}

func (t *tree) Link(from, to string) error {
	inTree, err := t.pair("link", from, to, func(a *directory, from string, b *directory, to string) error {
		return unix.Linkat(a.fd, from, b.fd, to, 0)
	})
	if !inTree {
		return t.system.Link(from, to)
	}
	return err
}

func (t *tree) Rename(from, to string) error {
	inTree, err := t.pair("rename", from, to, func(a *directory, from string, b *directory, to string) error {
		return unix.Renameat(a.fd, from, b.fd, to)
	})
	if !inTree {
		return t.system.Rename(from, to)
	}
	return err
}

func (t *tree) RenameNew(from, to string) error {
	inTree, err := t.pair("rename", from, to, func(a *directory, from string, b *directory, to string) error {
		return renameNewAt(a.fd, from, b.fd, to)
	})
	if !inTree {
		return t.system.RenameNew(from, to)
	}
	return err
}

func (t *tree) SyncDir(path string) error {
	dir, err := t.self(path)
	if err == nil && dir == nil {
		return t.system.SyncDir(path)
	}
	if err == nil {
		err = dir.sync(unix.Fsync)
		runtime.KeepAlive(dir)
	}
	return syncDirError(path, err)
}

func (t *tree) SyncAll(path string) error {
	dir, err := t.self(path)
	if err == nil && dir == nil {
		return t.system.SyncAll(path)
	}
	if err == nil {
		err = dir.sync(syncAllOf)
		runtime.KeepAlive(dir)
	}
	if err != nil {
		return &fs.PathError{Op: "syncfs", Path: path, Err: err}
	}
	return nil
}

func (t *tree) Replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	dir, base, err := t.split(path)
	switch {
	case err != nil:
		return &fs.PathError{Op: "open", Path: path, Err: err}
	case dir == nil || base == "":
		return t.system.Replace(path, perm, write)
	}
	defer runtime.KeepAlive(dir)
	return dir.replace(path, base, perm, write)
}
