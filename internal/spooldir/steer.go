package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/unbit/spoolgore/internal/fsys"
)

// Steering has the operations of a person on single messages, with or without a running daemon. The operations do the
// same as mv, touch or rm, but never overwrite a message and never remove another version. Without a later
// Dir.SyncPlaces a power cut may undo them.
type Steering struct{ dir *Dir }

// Shift moves the message name from one place to another. An existing file at the target is an error (fs.ErrExist).
// ErrLinked: the daemon is moving the message to failed/, in two steps. The why-file of a message in failed/ stays
// there, because the why-file names the accepted recipients.
func (s Steering) Shift(name string, from, to Place) error {
	if err := check("move", name); err != nil {
		return err
	}
	if from == Failed {
		if _, err := lstatID(s.dir.fs, s.dir.At(from, name)); err != nil {
			return err
		}
	}
	return withSub(s.dir, string(to), func() error {
		return moveOr(s.dir.fs, s.dir.At(from, name), s.dir.At(to, name), handMove)
	})
}

// Discard removes the version id of name from place, and its why-file from failed/. The error is ErrChanged if there is
// another version, which stays.
func (s Steering) Discard(place Place, name string, id ID) error {
	if err := checkIn("delete", place, name); err != nil {
		return err
	}
	path := s.dir.At(place, name)
	fi, err := s.dir.fs.Lstat(path)
	switch {
	case err != nil:
		return err
	case fi.IsDir():
		return &fs.PathError{Op: "delete", Path: path, Err: ErrNotRegular}
	case !IDOf(fi).Equal(id):
		return &fs.PathError{Op: "delete", Path: path, Err: ErrChanged}
	case place == Spool && fi.Mode().IsRegular():
		return s.dir.Remove(name, id) // a program may replace the file at any moment
	}
	if err := s.dir.fs.Remove(path); err != nil || place != Failed {
		return err
	}
	if err := s.dir.Failed().removeWhy(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// DiscardAny is Discard for the version that is there.
func (s Steering) DiscardAny(place Place, name string) error {
	if err := checkIn("delete", place, name); err != nil {
		return err
	}
	fi, err := s.dir.fs.Lstat(s.dir.At(place, name))
	if err != nil {
		return err
	}
	return s.Discard(place, name, IDOf(fi))
}

// Touch sets the time of the message name in the spool. A daemon then tries the message now. Call Touched after the
// last Touch.
func (s Steering) Touch(name string) error {
	if _, err := s.dir.Stat(name); err != nil {
		return err
	}
	return s.dir.fs.Touch(s.dir.File(name))
}

// Touched makes a daemon look for touched files where the system has no notification of them.
func (s Steering) Touched() error {
	if err := s.dir.fs.Touch(s.dir.path); err != nil && !tellsTouch {
		return fmt.Errorf("have the daemon look at the spool: %w", err)
	}
	return nil
}

// IDAt returns the ID of the file at path, of any kind. A symbolic link is followed.
func IDAt(on fsys.FS, path string) (ID, error) {
	fi, err := on.Stat(path)
	if err != nil {
		return ID{}, err
	}
	return IDOf(fi), nil
}

// IDOf returns the ID of the file that fi describes, of any kind.
func IDOf(fi fs.FileInfo) ID {
	id, _ := fileID(fi)
	return id
}

// Rewrite replaces the version id of the message name in a place by the output of write. The old file stays complete
// until the new one is on disk. ErrChanged: there is another version, which stays.
func (s Steering) Rewrite(place Place, name string, id ID, write func(io.Writer) error) error {
	if err := check("rewrite", name); err != nil {
		return err
	}
	path, err := build(s.dir, &Putting{Write: write})
	if err != nil {
		return err
	}
	defer s.dir.building.remove(path)
	target := s.dir.At(place, name)
	if err = syncFiles(s.dir, []string{path}, ""); err == nil {
		var now ID
		if now, err = lstatID(s.dir.fs, target); err == nil && !now.Equal(id) {
			err = &fs.PathError{Op: "rewrite", Path: target, Err: ErrChanged}
		}
	}
	if err == nil {
		err = s.dir.fs.Rename(path, target)
	}
	if err != nil {
		return errors.Join(err, s.dir.fs.Remove(path))
	}
	return nil
}
