package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// move renames from to to without ever overwriting (fs.ErrExist): in one step, or by linkMove where the system has none.
func (d *Dir) move(from, to string) error { return d.moveOr(from, to, d.linkMove) }

// moveOr is move with another way for where the system has no such step.
func (d *Dir) moveOr(from, to string, other func(from, to string) error) error {
	err := d.fs.RenameNew(from, to)
	if errors.Is(err, errors.ErrUnsupported) {
		return other(from, to)
	}
	return err
}

// linkMove renames from to to without overwriting (fs.ErrExist), by means that every system has: link, then unlink.
// In between the file has two names, and Open refuses it; Recover takes one of them away if a crash leaves it so.
func (d *Dir) linkMove(from, to string) error {
	err := d.fs.Link(from, to)
	made := err == nil
	switch {
	case linkless(err):
		return d.renameNew(from, to)
	case errors.Is(err, fs.ErrExist) && sameFile(d.fs, from, to): // NFS may have done it and lost its answer, and the second request finds it done
	case err != nil:
		return err
	}
	return d.endMove(from, to, made)
}

// endMove is the second step of a move. Somebody else may have done it, or have removed the file, taken it elsewhere or put
// another one in its place: to stays if it is the only name that is left, and from if it is another file. Made says that to
// is certain to be this move's, which is taken back if from has to stay.
func (d *Dir) endMove(from, to string, made bool) error {
	_, err := d.fs.Lstat(from)
	if err == nil && sameFile(d.fs, from, to) {
		if err = d.fs.Remove(from); err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) && made && sameFile(d.fs, from, to) {
			return errors.Join(err, d.fs.Remove(to))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err = lstatID(d.fs, to)
	if errors.Is(err, ErrLinked) { // it was taken elsewhere
		err = &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrNotExist}
		if made {
			err = errors.Join(err, d.fs.Remove(to))
		}
	}
	return err
}

// renameNew renames from to to unless there is something, seen a moment before: the best that is left without links.
func (d *Dir) renameNew(from, to string) error {
	if _, err := d.fs.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.fs.Rename(from, to)
}

// handMove is linkMove for a person, beside whom the daemon, or another person, may be moving or removing the same file.
// That to is there already is an error, even if it is the same file: somebody else has put it there, and would take it
// back on finding from gone. For the same reason to stays if it is the only name that is left.
func (d *Dir) handMove(from, to string) error {
	err := d.fs.Link(from, to)
	if linkless(err) {
		return d.renameNew(from, to)
	}
	if err != nil {
		return err
	}
	if err = d.fs.Remove(from); err == nil {
		return nil
	}
	if id, other := lstatID(d.fs, to); other == nil && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it was delivered, deleted or moved at this very moment, and %s may be all that is left of it (%d bytes)", err, to, id.Size)
	}
	return errors.Join(err, d.fs.Remove(to))
}

// linkless reports whether err says that hard links are not to be had: on this file system, or of a file that
// belongs to somebody else.
func linkless(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK) || errors.Is(err, errors.ErrUnsupported)
}
