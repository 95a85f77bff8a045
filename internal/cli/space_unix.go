//go:build linux || darwin || freebsd

package cli

import "golang.org/x/sys/unix"

// spaceOf returns the free space of the file system of path, for users other than root.
func spaceOf(path string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return space{}, err
	}
	size := uint64(s.Bsize)
	return space{
		bytes: free(s.Bavail) * size, files: free(s.Ffree),
		allBytes: uint64(s.Blocks) * size, allFiles: uint64(s.Files),
	}, nil
}
