package fsys

import "golang.org/x/sys/unix"

// mountOf returns the number of the mount of the file name in the open directory dir; zero if the kernel does not tell
// (before Linux 5.8). Another mount may show the same directory, and be read-only. No other mount gets the number while
// a file of the mount is open.
func mountOf(dir int, name string, flags int) (id uint64) {
	const fast = unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	var st unix.Statx_t
	err := retry(func() error { return unix.Statx(dir, name, flags|fast, unix.STATX_MNT_ID, &st) })
	if err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return 0
	}
	return st.Mnt_id
}

const emptyPath = unix.AT_EMPTY_PATH // for mountOf: the open directory itself
