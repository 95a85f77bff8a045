//go:build unix

package fsys

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// OpenFile follows no link to a file in the tree.
func (t *tree) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	if path == t.root {
		t.look() // the list of another directory is wanted if there is one
	}
	if dir, err := t.self(path); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	} else if dir != nil {
		return dir.list(path)
	}
	dir, base, err := t.split(path)
	if err == nil && dir == nil {
		return t.system.OpenFile(path, flag, perm)
	}
	var fd int
	if err == nil {
		fd, err = dir.open(base, flag, perm)
		runtime.KeepAlive(dir)
	}
	switch {
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	case flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE) != 0:
		return os.NewFile(uintptr(fd), path), nil
	}
	return newReader(fd, path), nil
}

// open opens the file base.
func (d *directory) open(base string, flag int, perm fs.FileMode) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(d.fd, base, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, modeBits(perm))
		return err
	})
	if err != nil {
		return -1, err
	}
	if flag&os.O_CREATE != 0 {
		if err = grantOwner(fd, modeBits(perm)); err == nil {
			err = d.giveFile(fd, base)
		}
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// openFile is open for the file at path.
func (d *directory) openFile(path, base string, flag int, perm fs.FileMode) (*os.File, error) {
	fd, err := d.open(base, flag, perm)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// sync calls act with a descriptor of the directory that can be synced: a directory that could not be read at its first
// use is opened again.
func (d *directory) sync(act func(fd int) error) error {
	err := retry(func() error { return act(d.fd) })
	if !errors.Is(err, unix.EBADF) {
		return err
	}
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return retry(func() error { return act(fd) })
}

// list opens the directory anew, to list or lock it.
func (d *directory) list(path string) (File, error) {
	f, err := d.openFile(path, ".", os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &listing{File: f, dir: d}, nil
}

// A listing is an open directory whose entries are looked at relative to it.
type listing struct {
	*os.File
	dir *directory
}

// ReadDir is ReadDir of os.File, with entries that may be asked after Close.
func (l *listing) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := l.File.ReadDir(n)
	list := make([]dirEntry, len(entries))
	for i, e := range entries {
		list[i] = dirEntry{e, l.dir}
		entries[i] = &list[i]
	}
	return entries, err
}

type dirEntry struct {
	fs.DirEntry
	dir *directory
}

// Info is that of the file which has the name now.
func (e *dirEntry) Info() (fs.FileInfo, error) {
	st := new(unix.Stat_t)
	err := fstatat(e.dir.fd, e.Name(), st)
	runtime.KeepAlive(e.dir)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: filepath.Join(e.dir.file.Name(), e.Name()), Err: err}
	}
	return newInfo(e.Name(), st), nil
}

// replace is Replace for the file base, which is at path.
func (d *directory) replace(path, base string, perm fs.FileMode, write func(io.Writer) error) error {
	f, temp, err := d.createTemp(path, base)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err = f.Chmod(perm); err == nil {
		err = write(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		if err = retry(func() error { return unix.Renameat(d.fd, temp, d.fd, base) }); err == nil {
			return nil
		}
		err = &os.LinkError{Op: "rename", Old: f.Name(), New: path, Err: err}
	}
	return errors.Join(err, unix.Unlinkat(d.fd, temp, 0))
}

// createTemp makes a file with a random name for the next content of base.
func (d *directory) createTemp(path, base string) (f *os.File, name string, err error) {
	const flags, tries = os.O_RDWR | os.O_CREATE | os.O_EXCL, 10
	for range tries {
		name = "." + base + strconv.FormatUint(rand.Uint64(), 10)
		f, err = d.openFile(filepath.Join(filepath.Dir(path), name), name, flags, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return f, name, err
}
