package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
)

// A Place is one of the directories in which messages lie.
type Place string

// The places.
const (
	Spool  Place = "" // the spool directory itself
	Hold   Place = holdDir
	Failed Place = failedDir
)

// IDOf returns the ID of the file that fi, from an lstat, describes, of whatever kind it is.
func IDOf(fi fs.FileInfo) ID {
	id, _ := fileID(fi)
	return id
}

// At returns the absolute path of the file name in place.
func (d *Dir) At(place Place, name string) string { return d.in(string(place), name) }

// Shift moves the message name from one place to another, as a person does with mv. It overwrites nothing: fs.ErrExist. A
// message that the daemon is just moving to failed/, and that has two names therefore, is ErrLinked. What was written
// beside a message in failed/ stays there, and says who has got it. Call SyncPlaces after it, or a power cut may undo it.
func (d *Dir) Shift(name string, from, to Place) error {
	if err := d.check("move", name); err != nil {
		return err
	}
	if from == Failed {
		if _, err := lstatID(d.fs, d.At(from, name)); err != nil {
			return err
		}
	}
	return d.withSub(string(to), func() error { return d.moveOr(d.At(from, name), d.At(to, name), d.handMove) })
}

// Discard removes the version id of name from place: ErrChanged, and it stays, if another file is there. What lies
// beside a message in failed/ goes after it.
func (d *Dir) Discard(place Place, name string, id ID) error {
	if err := d.check("delete", name); err != nil {
		return err
	}
	path := d.At(place, name)
	fi, err := d.fs.Lstat(path)
	switch {
	case err != nil:
		return err
	case fi.IsDir():
		return &fs.PathError{Op: "delete", Path: path, Err: ErrNotRegular}
	case !IDOf(fi).Equal(id):
		return &fs.PathError{Op: "delete", Path: path, Err: ErrChanged}
	case place == Spool && fi.Mode().IsRegular():
		return d.Remove(name, id) // programs may put another file in its place at any moment
	}
	if err := d.fs.Remove(path); err != nil || place != Failed {
		return err
	}
	if err := d.removeWhy(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Touch sets the time of the message name in the spool, after which a daemon tries it now. Call Touched when all are.
func (d *Dir) Touch(name string) error {
	if _, err := d.Stat(name); err != nil {
		return err
	}
	return d.fs.Touch(d.File(name))
}

// Touched lets a daemon look for files that were touched where the system does not tell of them.
func (d *Dir) Touched() error {
	if err := d.fs.Touch(d.path); err != nil && !tellsTouch {
		return fmt.Errorf("have the daemon look at the spool: %w", err)
	}
	return nil
}

// SyncPlaces makes what Shift and Discard have done survive a power cut.
func (d *Dir) SyncPlaces() error {
	for _, place := range []Place{Hold, Failed, Spool} {
		if err := d.fs.SyncDir(d.File(string(place))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
