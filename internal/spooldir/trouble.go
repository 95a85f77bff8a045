package spooldir

import (
	"errors"
	"slices"
	"syscall"
)

// noRoom reports whether err means that the disk has no room for another file or name.
func noRoom(err error) bool {
	return slices.ContainsFunc(fullDisk, func(cause syscall.Errno) bool { return errors.Is(err, cause) })
}

// IsFull reports whether err says that the disk has no room for another file, or the user has no quota left.
func IsFull(err error) bool { return noRoom(err) }

// SystemTrouble reports whether err is trouble of the system and not of the file in hand: the disk is full, read-only
// or broken, or the process has too many files open. The next file would fail too, and the trouble may pass.
func SystemTrouble(err error) bool {
	return slices.ContainsFunc(systemErrors, func(cause syscall.Errno) bool { return errors.Is(err, cause) })
}
