//go:build unix

package spooldir

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/fsys"
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
	if n, ok := fsys.NodeOf(fi); ok {
		return n.Ino, n.Links
	}
	return 0, 1
}

// HasOwners is set if an ID has the owner of its file.
const HasOwners = true

// userOf returns the user id of the owner of the file that fi describes; zero if the user id is not known.
func userOf(fi fs.FileInfo) uint32 {
	n, _ := fsys.NodeOf(fi)
	return n.UID
}
