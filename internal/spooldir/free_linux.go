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

// unstable are file systems that may give a file another inode number when it is renamed, changed, or not in use for a
// while.
var unstable = map[uint32]string{
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "smb2",
	unix.V9FS_MAGIC: "9p", unix.FUSE_SUPER_MAGIC: "fuse",
}

// UnstableInodes returns the type of the file system of d if files there may get another inode number; otherwise empty.
func UnstableInodes(d *Dir) string {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return ""
	}
	return unstable[uint32(st.Type)]
}
