//go:build unix

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// directories are the open directories of a tree.
type directories struct {
	root, prefix string // path of the directory; the same with a slash at its end
	lock         string // name of the lock file

	mu   sync.Mutex
	top  *directory // nil: not open
	subs []*sub
}

// A sub is a subdirectory of a tree. The mutex of the tree guards open and checked.
type sub struct {
	name, path string
	open       *directory // nil: not open
	checked    bool       // open was there at the last look at the root
}

// A directory is an open directory. The garbage collector closes it: a call may use it while another one finds that it
// was replaced.
type directory struct {
	file  *os.File
	fd    int
	stat  unix.Stat_t
	mount uint64 // number of the mount; zero: not known
}

// newDirectory takes over the descriptor fd.
func newDirectory(fd int, path string) (*directory, error) {
	d := &directory{file: os.NewFile(uintptr(fd), path), fd: fd}
	if err := unix.Fstat(fd, &d.stat); err != nil {
		d.file.Close()
		return nil, err
	}
	d.mount = mountOf(fd, "", emptyPath)
	return d, nil
}

// makeRoot makes the directory root of a tree. The rules of openRoot apply to its parent directory, which must exist.
func makeRoot(root string, perm fs.FileMode) error {
	fd, err := openRoot(filepath.Dir(root))
	if err != nil {
		return err
	}
	parent, err := newDirectory(fd, filepath.Dir(root))
	if err != nil {
		return err
	}
	defer parent.file.Close()
	return retry(func() error { return parent.mkdir(filepath.Base(root), perm) })
}

// mkdir makes the directory base. It belongs to the owner of d, who has the access that perm grants, under every
// umask. After an error there is no such directory: one that its owner cannot open would stop all later calls.
func (d *directory) mkdir(base string, perm fs.FileMode) error {
	if err := unix.Mkdirat(d.fd, base, modeBits(perm)); err != nil {
		return err
	}
	var made unix.Stat_t
	err := fstatat(d.fd, base, &made)
	if own := modeBits(perm) & ownerBits; err == nil && uint32(made.Mode)&own != own {
		err = chmodAt(d.fd, base, modeBits(perm))
	}
	if err == nil {
		err = d.giveDir(base)
	}
	if err != nil {
		return errors.Join(err, unix.Unlinkat(d.fd, base, unix.AT_REMOVEDIR))
	}
	return nil
}

// isAt reports whether d is at the path name in the open directory dir, of which the system returned st. Another mount
// of the same directory, perhaps a read-only one, is another directory.
func (d *directory) isAt(dir int, name string, flags int, st *unix.Stat_t) bool {
	if d.stat.Dev != st.Dev || d.stat.Ino != st.Ino {
		return false
	}
	mount := mountOf(dir, name, flags)
	return mount == d.mount || mount == 0 || d.mount == 0
}

// split returns the directory of path and the base name, empty for root. The directory is nil if path is in no
// directory of the tree.
func (t *directories) split(path string) (dir *directory, base string, err error) {
	if path == t.root {
		dir, err = t.openTop()
		return dir, "", err
	}
	rest, ok := strings.CutPrefix(path, t.prefix)
	if !ok || rest == "" || rest == "." || rest == ".." {
		return nil, "", nil
	}
	name, base, nested := strings.Cut(rest, "/")
	if !nested {
		dir, err = t.openTop()
		return dir, name, err
	}
	s := t.sub(name)
	if s == nil || base == "" || base == "." || base == ".." || strings.Contains(base, "/") {
		return nil, "", nil
	}
	dir, err = t.openSub(s)
	return dir, base, err
}

// sub returns the subdirectory name, nil if name is none.
func (t *directories) sub(name string) *sub {
	for _, s := range t.subs {
		if s.name == name {
			return s
		}
	}
	return nil
}

// self returns the open directory at path, nil if path is no directory of the tree.
func (t *directories) self(path string) (*directory, error) {
	if path == t.root {
		return t.openTop()
	}
	if name, ok := strings.CutPrefix(path, t.prefix); ok {
		if s := t.sub(name); s != nil {
			t.recheck(s)
			return t.openSub(s)
		}
	}
	return nil, nil
}

// openTop returns the directory root.
func (t *directories) openTop() (*directory, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.openTopLocked()
}

func (t *directories) openTopLocked() (*directory, error) {
	if t.top != nil {
		return t.top, nil
	}
	fd, err := openRoot(t.root)
	if err != nil {
		return nil, err
	}
	t.top, err = newDirectory(fd, t.root)
	return t.top, err
}

// openSub returns the subdirectory s.
func (t *directories) openSub(s *sub) (*directory, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.open != nil && s.checked {
		return s.open, nil
	}
	top, err := t.openTopLocked()
	if err != nil {
		return nil, err
	}
	if s.open != nil {
		var st unix.Stat_t
		if err := fstatat(top.fd, s.name, &st); err == nil && s.open.stat.Uid == st.Uid &&
			s.open.isAt(top.fd, s.name, unix.AT_SYMLINK_NOFOLLOW, &st) {
			s.checked = true
			return s.open, nil
		}
		s.open = nil
	}
	fd, err := openDir(top.fd, s.name)
	if err != nil {
		return nil, err
	}
	open, err := newDirectory(fd, s.path)
	if err != nil {
		return nil, err
	}
	if !t.trusts(top, open.stat.Uid) {
		open.file.Close()
		return nil, &OwnerError{UID: int(open.stat.Uid)}
	}
	s.open, s.checked = open, true
	return open, nil
}

// trusts reports whether a directory of the user uid is used.
func (t *directories) trusts(top *directory, uid uint32) bool {
	if uid == 0 || uid == top.stat.Uid || int(uid) == os.Geteuid() {
		return true
	}
	var lock unix.Stat_t
	return fstatat(top.fd, t.lock, &lock) == nil && lock.Mode&unix.S_IFMT == unix.S_IFREG && lock.Uid == uid
}

// recheck has the next call look whether s is still the same directory.
func (t *directories) recheck(s *sub) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.checked = false
}

// look returns what is at the path of root, and closes the open directories if that is another directory.
func (t *directories) look() (*unix.Stat_t, error) {
	st := new(unix.Stat_t)
	err := retry(func() error { return unix.Stat(t.root, st) })
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.top != nil && errors.Is(err, unix.EACCES) { // root has become a user who may not go through the path
		err = unix.Fstat(t.top.fd, st)
	}
	gone := t.top != nil && (err != nil || !t.top.isAt(unix.AT_FDCWD, t.root, 0, st))
	if gone {
		t.top = nil
	} else if t.top != nil {
		t.top.stat.Uid = st.Uid // of the same directory
	}
	for _, s := range t.subs {
		s.checked = false
		if gone {
			s.open = nil
		}
	}
	return st, err
}
