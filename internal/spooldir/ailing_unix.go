//go:build unix

package spooldir

import "syscall"

// fullDisk is what noRoom knows.
var fullDisk = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}

// ailments are what Ailing knows. ESTALE, ENOTCONN and ETIMEDOUT are of file systems whose server is not there.
var ailments = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	syscall.ESTALE, syscall.ENOTCONN, syscall.ETIMEDOUT,
}
