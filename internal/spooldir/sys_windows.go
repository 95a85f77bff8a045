package spooldir

import (
	"errors"
	"io/fs"
	"os"

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

// HasOwners is set if an ID has the owner of its file.
const HasOwners = false

// userOf: os.FileInfo has no owner.
func userOf(fs.FileInfo) uint32 { return 0 }

// mayMakeSub: no owner is known.
func mayMakeSub(fs.FileInfo) error { return nil }
