package spooldir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/fsys"
)

// probeLease takes a read lease on f, which the kernel grants only if no process can write the file, and drops the
// lease at once: a program that opens the file for writing has to wait for the end of the lease. The Go runtime ignores
// the SIGIO that the kernel then sends to the holder.
func probeLease(f fsys.File) (lease, error) {
	if file, ok := f.(*os.File); ok { // nearly always; the compiler keeps all of it on the stack
		var set, unset error
		raw, err := file.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { set, unset = lendRead(fd) })
		}
		return leaseAnswer(set, unset, err)
	}
	var set, unset error
	raw, err := f.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { set, unset = lendRead(fd) })
	}
	return leaseAnswer(set, unset, err)
}

// lendRead takes a read lease and drops the lease. It returns the results of both calls.
func lendRead(fd uintptr) (set, unset error) {
	if _, set = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK); set == nil {
		_, unset = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
	}
	return set, unset
}

func leaseAnswer(set, unset, err error) (lease, error) {
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
