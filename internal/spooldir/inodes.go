package spooldir

import (
	"os"
	"sync"
	"sync/atomic"

	"github.com/unbit/spoolgore/internal/fsys"
)

// inodes is what a Dir knows of the inode numbers of its file system.
type inodes struct {
	changed atomic.Bool // a move has given a file another number

	mu     sync.Mutex
	probed bool
	byPath bool // every rename gives a file another number
}

// InodesChange reports whether a move of this process has given a file another inode number, as overlay file systems
// and some network file systems do.
func InodesChange(d *Dir) bool { return d.inodes.changed.Load() }

// movedVersion is sameVersion for a file that this process has just moved to path. Where every rename gives a file
// another inode number, size and time tell.
func movedVersion(d *Dir, path string, id ID) error {
	fi, err := d.fs.Lstat(path)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || !isMoved(d, IDOf(fi), id) {
		return ErrChanged
	}
	return nil
}

// isMoved reports whether found is the version id, of a file that was moved.
func isMoved(d *Dir, found, id ID) bool {
	if found.Equal(id) {
		return true
	}
	if found.Size != id.Size || !found.ModTime.Equal(id.ModTime) {
		return false
	}
	d.inodes.changed.Store(true)
	return d.inodes.renameChanges(d)
}

// renameChanges reports whether a rename gives a new file another inode number. An overlay does so for files of the
// lower layers only: not for a new file.
func (n *inodes) renameChanges(d *Dir) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.probed {
		before, after, err := renameProbe(d)
		if err != nil {
			return false // and the next call asks again
		}
		n.probed, n.byPath = true, before.Ino != after.Ino
	}
	return n.byPath
}

// renameProbe renames a new file in tmp/. It returns the versions before and after.
func renameProbe(d *Dir) (before, after ID, err error) {
	from, to := d.At(tmpDir, putPrefix+d.newName()), d.At(tmpDir, putPrefix+d.newName())
	var f fsys.File
	err = withSub(d, tmpDir, func() (err error) {
		f, err = d.fs.OpenFile(from, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return ID{}, ID{}, err
	}
	path := from
	defer func() { _ = d.fs.Remove(path) }()
	if err := f.Close(); err != nil {
		return ID{}, ID{}, err
	}
	if before, err = lstatAny(d.fs, from); err != nil {
		return ID{}, ID{}, err
	}
	if err := d.fs.Rename(from, to); err != nil {
		return ID{}, ID{}, err
	}
	path = to
	after, err = lstatAny(d.fs, to)
	return before, after, err
}
