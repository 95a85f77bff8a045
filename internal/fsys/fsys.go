// Package fsys is the set of file system calls that a spool makes, behind one small interface: the operating system's
// in production, one that records or fails in tests.
//
// A path is absolute and goes whole from the caller to a call: a later implementation may split it into an open
// directory and a base name (openat and its kin). Calls for locks (flock) and for notification (inotify) are not here.
package fsys

import (
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// FS makes file system calls. Its methods may be called by several goroutines at once. Errors are those of package os: a
// *fs.PathError or *os.LinkError around a syscall.Errno.
type FS interface {
	// OpenFile is os.OpenFile. To read a directory, open it with os.O_RDONLY.
	OpenFile(path string, flag int, perm fs.FileMode) (File, error)
	// Stat is os.Stat. What it and Lstat return is good for os.SameFile.
	Stat(path string) (fs.FileInfo, error)
	// Lstat is os.Lstat.
	Lstat(path string) (fs.FileInfo, error)
	// Stamp describes the directory at path. A name that is added, removed or replaced there changes the stamp.
	Stamp(path string) (Stamp, error)
	// Mkdir is os.Mkdir.
	Mkdir(path string, perm fs.FileMode) error
	// Chmod is os.Chmod.
	Chmod(path string, mode fs.FileMode) error
	// Touch sets both times of the file at path to the current time. A symbolic link is not followed.
	Touch(path string) error
	// Link is os.Link.
	Link(from, to string) error
	// Rename is os.Rename: a file at to is replaced.
	Rename(from, to string) error
	// RenameNew renames in one step and never replaces a file: fs.ErrExist if there is one at to, errors.ErrUnsupported
	// if the system has no such call.
	RenameNew(from, to string) error
	// Remove is os.Remove.
	Remove(path string) error
	// SyncDir makes the names in the directory at path durable. It returns nil on a file system that cannot sync a
	// directory.
	SyncDir(path string) error
	// SyncAll makes everything durable that was written to the file system of path. The error is errors.ErrUnsupported if
	// the system has no such call.
	SyncAll(path string) error
	// Replace replaces the file at path by a new one with the content that write writes, the permission bits perm,
	// and its data synced. The name is not synced: call SyncDir. After an error the old file is still at path.
	Replace(path string, perm fs.FileMode, write func(io.Writer) error) error
}

// File is an open file or directory. *os.File implements it, and the methods do what those of *os.File do.
type File interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Writer
	io.WriterAt
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
	Chmod(mode fs.FileMode) error
	Truncate(size int64) error
	Sync() error
	ReadDir(n int) ([]fs.DirEntry, error)
	Readdirnames(n int) ([]string, error)
	SyscallConn() (syscall.RawConn, error)
}

// A Stamp identifies a directory and the time of its last change. The change time sees what the modification time
// does not: programs that copy directories set the latter back.
type Stamp struct {
	Dev, Ino     uint64 // zero where the system has no such numbers
	MTime, CTime time.Time
}

// System returns the file system of the operating system. What root makes in a directory of another user belongs to that
// user.
func System() FS { return system{} }

type system struct{}

func (system) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	if flag&os.O_CREATE != 0 {
		if err := giveToOwner(f); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

func (system) Stat(path string) (fs.FileInfo, error)     { return os.Stat(path) }
func (system) Lstat(path string) (fs.FileInfo, error)    { return os.Lstat(path) }
func (system) Stamp(path string) (Stamp, error)          { return stamp(path) }
func (system) Chmod(path string, mode fs.FileMode) error { return os.Chmod(path, mode) }
func (system) Touch(path string) error                   { return touch(path) }
func (system) Link(from, to string) error                { return os.Link(from, to) }
func (system) Rename(from, to string) error              { return os.Rename(from, to) }
func (system) RenameNew(from, to string) error           { return renameNew(from, to) }
func (system) Remove(path string) error                  { return os.Remove(path) }
func (system) SyncDir(path string) error                 { return syncDir(path) }

func (system) SyncAll(path string) error { return syncAll(path) }

func (system) Mkdir(path string, perm fs.FileMode) error {
	if err := os.Mkdir(path, perm); err != nil {
		return err
	}
	return giveDirToOwner(path)
}

func (system) Replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	return replace(path, perm, write)
}
