package spooldir

import "golang.org/x/sys/unix"

// The part of a file system that stays free for the daemon: a twentieth, or 100 MiB if that is less.
const (
	freeShare = 20
	freeMost  = 100 << 20 // bytes
)

// Room returns how many bytes may be added to the file system of d until only the part for the daemon is free. Known is
// false if the system cannot tell.
func Room(d *Dir) (bytes int64, known bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil || st.Blocks == 0 {
		return 0, false
	}
	size := int64(st.Bsize)
	return int64(st.Bavail)*size - min(int64(st.Blocks)*size/freeShare, freeMost), true
}
