//go:build unix && !linux

package fsys

import "golang.org/x/sys/unix"

// chmodAt sets the permission bits of the directory base in the open directory dir, also of one that the caller may not
// open. It follows no link.
func chmodAt(dir int, base string, mode uint32) error {
	return unix.Fchmodat(dir, base, mode, unix.AT_SYMLINK_NOFOLLOW)
}
