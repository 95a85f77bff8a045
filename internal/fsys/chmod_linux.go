package fsys

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// chmodAt sets the permission bits of the directory base in the open directory dir, also of one that the caller may not
// open. It follows no link. Linux has such a call (fchmodat2) only since version 6.6.
func chmodAt(dir int, base string, mode uint32) error {
	fd, err := unix.Openat(dir, base, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}
