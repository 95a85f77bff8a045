package spooldir

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/unbit/spoolgore/internal/fsys"
)

// ops is the file system of the system with fields for the calls whose order is important for crashes. Tests record
// these calls, make them fail, or end the process at one of them.
type ops struct {
	fsys.FS
	syncFile func(fsys.File) error
	syncDir  func(path string) error
	syncAll  func(path string) error
	replace  func(path string, perm fs.FileMode, write func(io.Writer) error) error
	touch    func(path string) error // makes an empty file, unless it exists
	write    func(f fsys.File, p []byte) (int, error)
	rename   func(from, to string) error
	link     func(from, to string) error
	move     func(from, to string) error // fsys.FS.RenameNew
	remove   func(path string) error
}

// opsOf returns the calls of d, which a test can replace. The first call makes an ops the file system of d.
func opsOf(d *Dir) *ops {
	o, ok := d.fs.(*ops)
	if !ok {
		system := d.fs
		o = &ops{
			FS:       system,
			syncFile: fsys.File.Sync,
			syncDir:  system.SyncDir,
			syncAll:  system.SyncAll,
			replace:  system.Replace,
			touch: func(path string) error {
				f, err := system.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
				if err != nil {
					return err
				}
				return f.Close()
			},
			write:  fsys.File.Write,
			rename: system.Rename,
			link:   system.Link,
			move:   system.RenameNew,
			remove: system.Remove,
		}
		d.fs = o
	}
	return o
}

func (o *ops) SyncDir(path string) error       { return o.syncDir(path) }
func (o *ops) SyncAll(path string) error       { return o.syncAll(path) }
func (o *ops) Link(from, to string) error      { return o.link(from, to) }
func (o *ops) RenameNew(from, to string) error { return o.move(from, to) }
func (o *ops) Remove(path string) error        { return o.remove(path) }
func (o *ops) Rename(from, to string) error    { return o.rename(from, to) }
func (f syncedFile) Sync() error               { return f.ops.syncFile(f.File) }

func (o *ops) Replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	return o.replace(path, perm, write)
}

func (o *ops) OpenFile(path string, flag int, perm fs.FileMode) (fsys.File, error) {
	if flag == lockFlags && strings.HasPrefix(filepath.Base(path), untold) {
		if err := o.touch(path); err != nil {
			return nil, err
		}
	}
	f, err := o.FS.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return syncedFile{f, o}, nil
}

// syncedFile is a file whose Sync is the one of ops.
type syncedFile struct {
	fsys.File
	ops *ops
}

// moveByLink is linkMove with other calls for link and unlink.
func moveByLink(d *Dir, from, to string, link func(from, to string) error, remove func(path string) error) error {
	o := *opsOf(d)
	o.link, o.remove = link, remove
	return linkMove(&o, from, to)
}

func (f syncedFile) Write(p []byte) (int, error) { return f.ops.write(f.File, p) }

// WriteString is the one of *os.File: a buffered writer uses it.
func (f syncedFile) WriteString(s string) (int, error) { return f.Write([]byte(s)) }
