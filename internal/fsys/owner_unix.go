//go:build unix

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ownerBits are the permission bits of the owner.
const ownerBits = 0o700

// grantOwner gives the owner of a new file the access that perm grants, in spite of the umask. Without it the daemon of
// that user could not open the file again.
func grantOwner(fd int, perm uint32) error {
	var file unix.Stat_t
	if err := unix.Fstat(fd, &file); err != nil {
		return err
	}
	own, mode := perm&ownerBits, uint32(file.Mode)
	if mode&own == own || file.Size > 0 || int(file.Uid) != os.Geteuid() || mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	return unix.Fchmod(fd, mode&modeMask|own)
}

// modeMask are the bits of a mode that chmod(2) sets.
const modeMask = 0o7777

// completeFile applies grantOwner and giveToOwner to a file that was opened with os.O_CREATE.
func completeFile(f *os.File, perm fs.FileMode) error {
	if err := grantOwner(int(f.Fd()), modeBits(perm)); err != nil {
		return &os.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return giveToOwner(f)
}

// giveToOwner gives a file that root has just created to the owner of its directory, so that the owner's daemon can
// read the file. Any other file is left alone: a file with another name, the target of a symbolic link, a file of
// another user.
func giveToOwner(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var dir, file, named unix.Stat_t
	if err := unix.Stat(filepath.Dir(f.Name()), &dir); err != nil {
		return &os.PathError{Op: "stat", Path: filepath.Dir(f.Name()), Err: err}
	}
	if dir.Uid == 0 {
		return nil
	}
	if err := unix.Fstat(int(f.Fd()), &file); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if err := unix.Lstat(f.Name(), &named); err != nil || named.Ino != file.Ino || named.Dev != file.Dev {
		return nil
	}
	if file.Uid != 0 || file.Nlink != 1 || file.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	if err := unix.Fchown(int(f.Fd()), int(dir.Uid), groupFor(&dir)); err != nil {
		return &os.PathError{Op: "chown", Path: f.Name(), Err: err}
	}
	return nil
}

// giveDirToOwner is giveToOwner for a directory.
func giveDirToOwner(path string) error {
	var dir unix.Stat_t
	if os.Geteuid() != 0 || unix.Stat(filepath.Dir(path), &dir) != nil || dir.Uid == 0 {
		return nil
	}
	if err := unix.Lchown(path, int(dir.Uid), groupFor(&dir)); err != nil {
		return &os.PathError{Op: "chown", Path: path, Err: err}
	}
	return nil
}

// giveFile is giveToOwner for the file base in the tree, which is open as fd.
func (d *directory) giveFile(fd int, base string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var dir, file, named unix.Stat_t
	if err := errors.Join(unix.Fstat(d.fd, &dir), unix.Fstat(fd, &file)); err != nil {
		return err
	}
	if dir.Uid == 0 || file.Uid != 0 || file.Nlink != 1 || file.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	if err := fstatat(d.fd, base, &named); err != nil || named.Ino != file.Ino || named.Dev != file.Dev {
		return nil
	}
	return unix.Fchown(fd, int(dir.Uid), groupFor(&dir))
}

// giveDir is giveToOwner for the directory base in the tree, which root has just made.
func (d *directory) giveDir(base string) error {
	var dir, made unix.Stat_t
	if os.Geteuid() != 0 || unix.Fstat(d.fd, &dir) != nil || dir.Uid == 0 {
		return nil
	}
	fd, err := openDir(d.fd, base)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &made); err != nil || made.Uid != 0 {
		return err
	}
	return unix.Fchown(fd, int(dir.Uid), groupFor(&dir))
}

// groupFor returns the group for a new file in dir; -1 if the system has set the group.
func groupFor(dir *unix.Stat_t) int {
	if dir.Mode&unix.S_ISGID != 0 {
		return -1
	}
	return int(dir.Gid)
}
