//go:build unix

package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openFlags: O_NONBLOCK so that a FIFO put in place of a file does not stop us. os.OpenFile adds O_CLOEXEC.
const openFlags = os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK

// openReason names what an error of open(2) with openFlags says about the file.
func openReason(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	switch errno {
	case unix.ELOOP, unix.EMLINK, unix.ENXIO: // symbolic link (FreeBSD: EMLINK); socket or device
		return ErrNotRegular
	case unix.EAGAIN: // somebody holds a write lease
		return ErrBeingWritten
	}
	return errno
}

// inode returns the inode number and the number of hard links.
func inode(fi fs.FileInfo) (ino, links uint64) {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino), uint64(st.Nlink) // their types differ between systems
	}
	return 0, 1
}

// stampOf describes the directory at path for Changed.
func stampOf(path string) (stamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return stamp{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return stamp{
		dev:   uint64(st.Dev),
		ino:   uint64(st.Ino),
		mtime: time.Unix(st.Mtim.Unix()),
		ctime: time.Unix(st.Ctim.Unix()),
	}, nil
}

// SyncDir makes the names in the directory at path durable. A file system that cannot do that for a directory is
// taken to do it by itself.
func SyncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer f.Close()
	err = f.Sync()
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// setNow sets the times of access and of change of the file at path, which is not followed if it is a symbolic link. Both,
// since Linux tells of IN_ATTRIB only then. Of a file of another user whoever may write it can set them to the time that
// the system has, which is coarser, and to no other.
func setNow(path string) error {
	ts, err := unix.TimeToTimespec(time.Now())
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if errors.Is(err, unix.EPERM) {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, path, nil, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return &fs.PathError{Op: "touch", Path: path, Err: err}
	}
	return nil
}
