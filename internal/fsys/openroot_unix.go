//go:build unix

package fsys

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An OwnerError is the error for a directory of a user that is not trusted. It counts as syscall.ENOTDIR: the spool
// works without that directory.
type OwnerError struct{ UID int }

// Error implements error.
func (e *OwnerError) Error() string {
	return fmt.Sprintf("refused: directory of user %d, who is neither root, the owner of the spool nor the daemon",
		e.UID)
}

// Is implements errors.Is.
func (e *OwnerError) Is(target error) bool { return target == syscall.ENOTDIR }

// maxLinks is the number of links in a path up to which root follows them, as in Linux.
const maxLinks = 40

// maxTarget is the length of the longest path that a link may hold, in bytes.
const maxTarget = 4096

// openDir opens the directory name in the open directory dir; a link is no directory.
func openDir(dir int, name string) (fd int, err error) {
	const flags = unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|flags, 0)
		if errors.Is(err, unix.EACCES) && searchOnly != 0 { // files can be made there, and not listed
			fd, err = unix.Openat(dir, name, searchOnly|flags, 0)
		}
		return err
	})
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) {
		err = unix.ENOTDIR
	}
	return fd, err
}

// openRoot opens the directory at path. Links in path are followed. A process of root does not follow a link of another
// user to a directory that does not belong to that user.
func openRoot(path string) (fd int, err error) {
	if os.Geteuid() != 0 {
		err = retry(func() error {
			const flags = unix.O_DIRECTORY | unix.O_CLOEXEC
			fd, err = unix.Open(path, unix.O_RDONLY|flags, 0)
			if errors.Is(err, unix.EACCES) && searchOnly != 0 {
				fd, err = unix.Open(path, searchOnly|flags, 0)
			}
			return err
		})
		return fd, err
	}
	w := &walk{fd: -1, rest: strings.Split(path, "/")}
	if err := w.run(); err != nil {
		w.close()
		return -1, err
	}
	return w.fd, nil
}

// A walk goes through the components of an absolute path.
type walk struct {
	fd     int // the directory so far; negative: none
	rest   []string
	links  int
	owners []uint32 // of the links that do not belong to root
}

func (w *walk) run() error {
	if err := w.enter(unix.AT_FDCWD, "/"); err != nil {
		return err
	}
	for len(w.rest) > 0 {
		name := w.rest[0]
		w.rest = w.rest[1:]
		if name == "" || name == "." {
			continue
		}
		if err := w.step(name); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(w.fd, &st); err != nil {
		return err
	}
	for _, uid := range w.owners {
		if uid != st.Uid {
			return fmt.Errorf("refused: the path has a link of user %d to a directory of user %d", uid, st.Uid)
		}
	}
	return nil
}

// step goes into the directory name, or reads the link name.
func (w *walk) step(name string) error {
	var st unix.Stat_t
	if err := fstatat(w.fd, name, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return w.enter(w.fd, name)
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	target := make([]byte, maxTarget)
	n, err := unix.Readlinkat(w.fd, name, target)
	if err != nil {
		return err
	}
	if st.Uid != 0 {
		w.owners = append(w.owners, st.Uid)
	}
	w.rest = append(strings.Split(string(target[:n]), "/"), w.rest...)
	if n > 0 && target[0] == '/' {
		return w.enter(unix.AT_FDCWD, "/")
	}
	return nil
}

// enter opens the next directory and closes the one before.
func (w *walk) enter(dir int, name string) error {
	fd, err := openDir(dir, name)
	if err != nil {
		return err
	}
	w.close()
	w.fd = fd
	return nil
}

func (w *walk) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	w.fd = -1
}
