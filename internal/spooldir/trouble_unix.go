//go:build unix

package spooldir

import "syscall"

// fullDisk are the errors of noRoom.
var fullDisk = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}

// systemErrors are the errors of SystemTrouble. ESTALE, ENOTCONN and ETIMEDOUT come from file systems without their
// server.
var systemErrors = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	syscall.ESTALE, syscall.ENOTCONN, syscall.ETIMEDOUT,
}
