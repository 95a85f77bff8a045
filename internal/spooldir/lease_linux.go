package spooldir

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/fsys"
)

// probeLease asks for a read lease on f, which the kernel grants only while nobody can write the file, and gives it
// back at once: a program that opens the file for writing has to wait as long as it is held. The SIGIO which the kernel
// then sends to the holder is ignored by the Go runtime.
func probeLease(f fsys.File) (answer lease, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return leaseUnknown, err
	}
	var set, unset error
	err = raw.Control(func(fd uintptr) {
		if _, set = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK); set == nil {
			_, unset = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
		}
	})
	switch {
	case err != nil:
		return leaseUnknown, err
	case unset != nil:
		return leaseUnknown, unset
	case set == nil:
		return leaseFree, nil
	case errors.Is(set, unix.EAGAIN):
		return leaseBusy, nil
	}
	return leaseUnknown, nil // EACCES: not our file; EINVAL, ENOTSUP, ENOLCK: not on this file system
}
