package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/unbit/spoolgore/internal/fsys"
)

// move renames from to to and never replaces a file (fs.ErrExist): in one step, or by linkMove on a system without such
// a step.
func move(on fsys.FS, from, to string) error { return moveOr(on, from, to, linkMove) }

// moveOr is move with other in place of linkMove.
func moveOr(on fsys.FS, from, to string, other func(on fsys.FS, from, to string) error) error {
	err := on.RenameNew(from, to)
	if errors.Is(err, errors.ErrUnsupported) {
		return other(on, from, to)
	}
	return err
}

// linkMove is move in two steps: link, then unlink. Between them the file has two names and Open refuses the file.
// Recover removes one of the names after a crash.
func linkMove(on fsys.FS, from, to string) error {
	return linkMoveThen(on, from, to, func() error { return nil })
}

// linkMoveSynced is linkMove with the new name synced before the old one is removed: a power cut leaves at least one.
func linkMoveSynced(on fsys.FS, from, to string) error {
	return linkMoveThen(on, from, to, func() error { return on.SyncDir(filepath.Dir(to)) })
}

// linkMoveThen is linkMove with a call of between after the first step. An error of between undoes the move.
func linkMoveThen(on fsys.FS, from, to string, between func() error) error {
	err := on.Link(from, to)
	made := err == nil
	switch {
	case linkless(err):
		return renameUnlessThere(on, from, to)
	case errors.Is(err, fs.ErrExist) && sameFile(on, from, to): // NFS: the first request was done, its answer lost
	case err != nil:
		return err
	}
	if err := between(); err != nil {
		if made && sameFile(on, from, to) {
			err = errors.Join(err, on.Remove(to))
		}
		return err
	}
	return endMove(on, from, to, made)
}

// endMove is the second step of linkMove. Meanwhile another process may have removed from, moved from elsewhere, or put
// another file there. A file that has only the name to stays there, and another file at from stays. If from cannot be
// removed, to is removed, but only if this move has made to.
func endMove(on fsys.FS, from, to string, made bool) error {
	_, err := on.Lstat(from)
	if err == nil && sameFile(on, from, to) {
		if err = on.Remove(from); err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) && made && sameFile(on, from, to) {
			return errors.Join(err, on.Remove(to))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err = lstatID(on, to)
	if errors.Is(err, ErrLinked) { // the file was moved elsewhere
		err = &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrNotExist}
		if made {
			err = errors.Join(err, on.Remove(to))
		}
	}
	return err
}

// renameUnlessThere renames from to to unless there is a file at to. Between check and rename a file may appear there:
// without links there is no better way.
func renameUnlessThere(on fsys.FS, from, to string) error {
	if _, err := on.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return on.Rename(from, to)
}

// handMove is linkMove for a person. At the same time the daemon, or another person, may move or remove the file. An
// existing to is an error even if both are the same file: another process has made to, and would remove to on finding
// from gone. For the same reason to stays if it is the only name left.
func handMove(on fsys.FS, from, to string) error {
	err := on.Link(from, to)
	if linkless(err) {
		return renameUnlessThere(on, from, to)
	}
	if err != nil {
		return err
	}
	if err = on.Remove(from); err == nil {
		return nil
	}
	if id, other := lstatID(on, to); other == nil && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it was delivered, deleted or moved at this very moment, "+
			"and %s may be all that is left of it (%d bytes)", err, to, id.Size)
	}
	return errors.Join(err, on.Remove(to))
}

// linkless reports whether err means that a hard link is impossible: on the file system, or for a file of another user.
func linkless(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK) || errors.Is(err, errors.ErrUnsupported)
}

// moveIn moves the file at path into the spool under name or, if name is taken, under a new one, which is returned.
func moveIn(d *Dir, path, name string) (string, error) {
	err := move(d.fs, path, d.File(name))
	for try := 1; try < maxTries && errors.Is(err, fs.ErrExist); try++ {
		name = d.newName()
		err = move(d.fs, path, d.File(name))
	}
	return name, err
}

// maxTries bounds the search for a free name. Names are random: a second try is very rare on a healthy disk.
const maxTries = 10
