package fsys

import (
	"io"
	"io/fs"
	"os"
)

// Failing returns the file system on, on which a call fails with the error that fail returns for the call. Fail may be
// called by several goroutines at once.
func Failing(on FS, fail func(op, path string) error) FS { return failing{on, fail} }

type failing struct {
	FS
	fail func(op, path string) error
}

// check returns the error of a call as a *fs.PathError; nil: the call is to be made.
func (f failing) check(op, path string) error {
	if err := f.fail(op, path); err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

func (f failing) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	op := "open"
	if flag&os.O_CREATE != 0 {
		op = "create"
	}
	if err := f.check(op, path); err != nil {
		return nil, err
	}
	file, err := f.FS.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return failingFile{file, f}, nil
}

func (f failing) Stat(path string) (fs.FileInfo, error) {
	if err := f.check("stat", path); err != nil {
		return nil, err
	}
	return f.FS.Stat(path)
}

func (f failing) Lstat(path string) (fs.FileInfo, error) {
	if err := f.check("stat", path); err != nil {
		return nil, err
	}
	return f.FS.Lstat(path)
}

func (f failing) Mkdir(path string, perm fs.FileMode) error {
	return f.do("mkdir", path, func() error { return f.FS.Mkdir(path, perm) })
}

func (f failing) Chmod(path string, mode fs.FileMode) error {
	return f.do("chmod", path, func() error { return f.FS.Chmod(path, mode) })
}

func (f failing) Link(from, to string) error {
	return f.do("rename", to, func() error { return f.FS.Link(from, to) })
}

func (f failing) Rename(from, to string) error {
	return f.do("rename", to, func() error { return f.FS.Rename(from, to) })
}

func (f failing) RenameNew(from, to string) error {
	return f.do("rename", to, func() error { return f.FS.RenameNew(from, to) })
}

func (f failing) Remove(path string) error {
	return f.do("remove", path, func() error { return f.FS.Remove(path) })
}

func (f failing) SyncDir(path string) error {
	return f.do("sync", path, func() error { return f.FS.SyncDir(path) })
}

func (f failing) SyncAll(path string) error {
	return f.do("sync", path, func() error { return f.FS.SyncAll(path) })
}

func (f failing) Replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	return f.do("create", path, func() error {
		return f.FS.Replace(path, perm, func(w io.Writer) error {
			if err := f.check("write", path); err != nil {
				return err
			}
			if err := write(w); err != nil {
				return err
			}
			return f.check("sync", path)
		})
	})
}

func (f failing) do(op, path string, act func() error) error {
	if err := f.check(op, path); err != nil {
		return err
	}
	return act()
}

// failingFile is an open file on a failing file system.
type failingFile struct {
	File
	on failing
}

func (f failingFile) Read(p []byte) (int, error) {
	if err := f.on.check("read", f.Name()); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f failingFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.on.check("read", f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f failingFile) Write(p []byte) (int, error) {
	if err := f.on.check("write", f.Name()); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f failingFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.on.check("write", f.Name()); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f failingFile) Sync() error {
	return f.on.do("sync", f.Name(), f.File.Sync)
}
