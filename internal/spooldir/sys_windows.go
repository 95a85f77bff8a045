package spooldir

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

const openFlags = os.O_RDONLY

// openReason names what an error of opening a file says about it.
func openReason(err error) error {
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		return ErrBeingWritten
	}
	return errors.Unwrap(err)
}

// inode: os.FileInfo has neither number.
func inode(fs.FileInfo) (ino, links uint64) { return 0, 1 }

// stampOf describes the directory at path for Changed.
func stampOf(path string) (stamp, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{mtime: fi.ModTime(), ctime: fi.ModTime()}, nil
}

// SyncDir does nothing: a directory cannot be synced here.
func SyncDir(string) error { return nil }

// setNow sets the times of access and of change of the file at path.
func setNow(path string) error {
	now := time.Now()
	return os.Chtimes(path, now, now)
}
