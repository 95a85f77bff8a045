// Package fsys has the file system calls of a spool behind one small interface. Production uses the operating system's
// calls; tests record calls or let calls fail.
//
// A caller passes an absolute path unchanged to a call. The file system of NewTree splits the path into an open
// directory and a base name (openat). Calls for locks (flock) and for notification (inotify) are not here.
package fsys

import (
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// FS makes file system calls. Several goroutines may call its methods at the same time. Errors are those of package os:
// a *fs.PathError or *os.LinkError around a syscall.Errno.
type FS interface {
	// OpenFile is os.OpenFile. To read a directory, open it with os.O_RDONLY. The owner of a new file has the access
	// that perm grants, in spite of the umask.
	OpenFile(path string, flag int, perm fs.FileMode) (File, error)
	// Stat is os.Stat. The results of Stat and Lstat work with SameFile.
	Stat(path string) (fs.FileInfo, error)
	// Lstat is os.Lstat.
	Lstat(path string) (fs.FileInfo, error)
	// Stamp describes the directory at path. A name that is added, removed or replaced there changes the stamp.
	Stamp(path string) (Stamp, error)
	// Mkdir is os.Mkdir. Chmod sets bits that the umask has cleared.
	Mkdir(path string, perm fs.FileMode) error
	// Chmod is os.Chmod.
	Chmod(path string, mode fs.FileMode) error
	// Touch sets both times of the file at path to the current time. A symbolic link is not followed.
	Touch(path string) error
	// Link is os.Link.
	Link(from, to string) error
	// Rename is os.Rename: a file at to is replaced.
	Rename(from, to string) error
	// RenameNew renames in one step and never replaces a file. The error is fs.ErrExist if a file exists at to, and
	// errors.ErrUnsupported if the system has no such call.
	RenameNew(from, to string) error
	// Remove is os.Remove.
	Remove(path string) error
	// SyncDir makes the names in the directory at path durable. It returns nil on a file system that cannot sync a
	// directory.
	SyncDir(path string) error
	// SyncAll makes all data on the file system of path durable. The error is errors.ErrUnsupported if the system has
	// no such call.
	SyncAll(path string) error
	// Replace replaces the file at path by a new file with the content of write and the permission bits perm, and syncs
	// the data. The directory is not synced: call SyncDir. After an error the old file is still at path.
	Replace(path string, perm fs.FileMode, write func(io.Writer) error) error
}

// File is an open file or directory. The methods do the same as those of *os.File, which implements File.
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

// A Stamp identifies a directory and the time of its last change. Programs that copy directories set the modification
// time back; the change time shows such a change.
type Stamp struct {
	Dev, Ino     uint64 // zero where the system has no such numbers
	MTime, CTime time.Time
}

// System returns the file system of the operating system. If root creates a file in another user's directory, the file
// belongs to that user.
func System() FS { return system{} }

type system struct{}

func (system) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	if flag&os.O_CREATE != 0 {
		if err := completeFile(f, perm); err != nil {
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
