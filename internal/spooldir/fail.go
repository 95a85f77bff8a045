package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore/internal/fsys"
)

const (
	whySuffix = ".json"
	// untold begins the name of the empty file that says that the sender of a message in failed/ is to be told.
	untold = ".untold-"
	// maxWhy bounds what Why reads into memory, in bytes.
	maxWhy = 64 << 20
	// keptName is the longest name that keeps its place in failed/: a number, the suffix and what WriteFile adds while it
	// writes have to fit into 255 bytes too.
	keptName = 200
)

// Fail moves the version id of name to failed/newName and leaves why beside it, in failed/newName.json. It overwrites no
// message: newName is name or, if that is taken, name.1, name.2 and so on (always one of these for a name that ends in
// .json, since only why-files end so in failed/; a new name for one too long to add to). A why-file without its message
// counts as taken, for its message has been moved back by hand; own says that it is this very message's, so that its
// place can be taken again.
//
// The why-file is on disk before the message is in failed/, and that is on disk before it leaves the spool; when Fail
// returns, all of it is. A crash in between leaves the message in the spool, perhaps with a why-file ahead of it, or in
// both places, which Recover puts right.
//
// Errors: fs.ErrNotExist; ErrChanged for another version, which stays in the spool; others of the disk. If newName comes
// with an error the message is in failed/ and it is not certain that it left the spool for good. If newName is empty
// failed/ is as it was, but for an own why-file, which may be gone.
func (d *Dir) Fail(name string, id ID, why []byte, own bool) (newName string, err error) {
	return d.fail(name, id, why, own, false)
}

// FailUntold is Fail for a message whose sender is to be told: it is among those of Untold until Told. The mark for that,
// an empty file failed/.untold-NAME, is on disk before the message leaves the spool, and costs no sync of its own.
func (d *Dir) FailUntold(name string, id ID, why []byte, own bool) (newName string, err error) {
	return d.fail(name, id, why, own, true)
}

func (d *Dir) fail(name string, id ID, why []byte, own, mark bool) (newName string, err error) {
	if err := d.check("fail", name); err != nil {
		return "", err
	}
	if err := d.same(d.File(name), id); err != nil {
		return "", fmt.Errorf("fail %s: %w", name, err)
	}
	newName, err = d.enterFailed(name, id, why, own, mark)
	if err == nil {
		newName, err = d.leaveSpool(name, newName, id)
	}
	if err == nil {
		err = d.fs.SyncDir(d.path)
	}
	if err != nil {
		return newName, fmt.Errorf("fail %s: %w", name, err)
	}
	return newName, nil
}

// enterFailed puts the why-file and then the message under a free name in failed/, both on disk when it returns.
func (d *Dir) enterFailed(name string, id ID, why []byte, own, mark bool) (newName string, err error) {
	base, n := name, 0
	if len(base) > keptName {
		base = d.newName()
	}
	if strings.HasSuffix(base, whySuffix) {
		n = 1
	}
	for ; ; n++ {
		newName = base
		if n > 0 {
			newName += "." + strconv.Itoa(n)
		}
		ownWhy := own && newName == name
		free, err := d.failedFree(newName, ownWhy)
		if err != nil {
			return "", err
		}
		if !free {
			continue
		}
		err = d.enterAs(name, newName, id, why, ownWhy, mark)
		if err == nil {
			return newName, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
}

// enterAs is enterFailed for one newName. After an error (fs.ErrExist: taken meanwhile) nothing of it is in failed/, but for
// a why-file that was its own before.
func (d *Dir) enterAs(name, newName string, id ID, why []byte, ownWhy, mark bool) error {
	if mark { // first: what makes the why-file durable does so for the mark
		if err := d.markUntold(newName); err != nil {
			return err
		}
	}
	if err := d.writeWhy(newName, why); err != nil {
		err = errors.Join(err, d.Told(newName))
		if ownWhy {
			return err
		}
		if undo := d.fs.Remove(d.in(failedDir, newName+whySuffix)); !errors.Is(undo, fs.ErrNotExist) { // it is there, but not for certain
			err = errors.Join(err, undo)
		}
		return err
	}
	undo, err := d.linkFailed(name, newName)
	if err != nil {
		return errors.Join(err, d.removeWhy(newName))
	}
	err = d.same(d.in(failedDir, newName), id)
	if err == nil {
		err = d.fs.SyncDir(d.File(failedDir))
	}
	if err != nil {
		return errors.Join(err, undo(), d.removeWhy(newName))
	}
	return nil
}

// failedFree reports whether a message can be called name in failed/.
func (d *Dir) failedFree(name string, ownWhy bool) (bool, error) {
	if taken, err := d.exists(d.in(failedDir, name)); taken || err != nil {
		return false, err
	}
	if ownWhy {
		return true, nil
	}
	taken, err := d.exists(d.in(failedDir, name+whySuffix))
	return !taken, err
}

// exists reports whether there is anything at path.
func (d *Dir) exists(path string) (bool, error) {
	_, err := d.fs.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// writeWhy writes the why-file of a message that is about to be called name in failed/.
func (d *Dir) writeWhy(name string, why []byte) error {
	return d.withSub(failedDir, func() error {
		return WriteFileOn(d.fs, d.in(failedDir, name+whySuffix), 0o600, func(w io.Writer) error {
			_, err := w.Write(why)
			return err
		})
	})
}

// linkFailed gives the file name a second name, in failed/ (fs.ErrExist if that is taken), and returns how to take it back.
// Where a file cannot be linked it is moved.
func (d *Dir) linkFailed(name, newName string) (undo func() error, err error) {
	place := d.in(failedDir, newName)
	err = d.fs.Link(d.File(name), place)
	if err == nil {
		return func() error { return d.fs.Remove(place) }, nil
	}
	if !linkless(err) {
		return nil, err
	}
	if err := d.move(d.File(name), place); err != nil {
		return nil, err
	}
	return func() error {
		_, err := d.moveIn(place, name)
		return err
	}, nil
}

// leaveSpool removes name from the spool, once failed/ has it as newName. If name was replaced meanwhile the new file
// stays. If it is still the file in failed/, written to or not to be moved, failed/ gives it up: newName is empty then.
func (d *Dir) leaveSpool(name, newName string, id ID) (string, error) {
	aside, err := d.setAside(name, id)
	if err == nil {
		return newName, d.fs.Remove(aside)
	}
	if errors.Is(err, fs.ErrNotExist) { // it was moved, or somebody deletes what has failed anyway
		return newName, nil
	}
	place := d.in(failedDir, newName)
	// Only what is in the spool for certain may go from failed/.
	if sameFile(d.fs, d.File(name), place) {
		return "", errors.Join(err, d.fs.Remove(place), d.removeWhy(newName))
	}
	if errors.Is(err, ErrChanged) {
		return newName, nil // the new file is none of our business
	}
	return newName, err
}

// sameFile reports whether both names are certain to be names of one file.
func sameFile(on fsys.FS, a, b string) bool {
	fa, errA := on.Lstat(a)
	fb, errB := on.Lstat(b)
	return errA == nil && errB == nil && os.SameFile(fa, fb)
}

// OpenFailed opens the message name in failed/. Errors: fs.ErrNotExist if it is not there any more; ErrNotRegular.
func (d *Dir) OpenFailed(name string) (fsys.File, ID, error) {
	if err := d.check("open failed", name); err != nil {
		return nil, ID{}, err
	}
	f, err := d.fs.OpenFile(d.in(failedDir, name), openFlags, 0)
	if err != nil {
		return nil, ID{}, &fs.PathError{Op: "open", Path: d.in(failedDir, name), Err: openReason(err)}
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, ID{}, err
	}
	id, _ := fileID(fi)
	return f, id, nil
}

// FailedWhy returns what was written beside the message name in failed/; fs.ErrNotExist if there is nothing.
func (d *Dir) FailedWhy(name string) ([]byte, error) {
	if err := d.check("read why", name); err != nil {
		return nil, err
	}
	return d.readWhy(d.in(failedDir, name+whySuffix))
}

// Untold returns the names, in failed/, of the messages whose senders are to be told. Some of them may not be there any
// more, or not yet.
func (d *Dir) Untold() (names []string, err error) {
	f, err := d.fs.OpenFile(d.File(failedDir), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for what is to be told: %w", err)
	}
	defer f.Close()
	for {
		entries, err := f.Readdirnames(1024)
		for _, e := range entries {
			if name, ok := strings.CutPrefix(e, untold); ok && d.Usable(name) {
				names = append(names, name)
			}
		}
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look for what is to be told: %w", err)
		}
	}
}

// Told says that the sender of name was told, or need not be. It is not synced: after a power cut he may be told again.
func (d *Dir) Told(name string) error {
	if err := d.fs.Remove(d.in(failedDir, untold+name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// markUntold is the opposite of Told.
func (d *Dir) markUntold(name string) error {
	return d.withSub(failedDir, func() error { return touch(d.fs, d.in(failedDir, untold+name)) })
}

func touch(on fsys.FS, path string) error {
	f, err := on.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Why returns what was written beside name when it was given up, if it has been moved out of failed/ since, back into
// the spool most likely; fs.ErrNotExist if it is still there or there is nothing. A text of more than 64 MiB is an error.
func (d *Dir) Why(name string) ([]byte, error) {
	path, err := d.orphanWhy("read why", name)
	if err != nil {
		return nil, err
	}
	return d.readWhy(path)
}

func (d *Dir) readWhy(path string) ([]byte, error) {
	fi, err := d.fs.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read why", Path: path, Err: ErrNotRegular}
	}
	if fi.Size() > maxWhy {
		return nil, fmt.Errorf("read %s: larger than %d bytes", path, maxWhy)
	}
	f, err := d.fs.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, fi.Size())) // it is only ever replaced, it does not grow
}

// RemoveWhy removes what Why returns, when it is no longer wanted. It does nothing if that is missing, or if the message
// is in failed/.
func (d *Dir) RemoveWhy(name string) error {
	_, err := d.orphanWhy("remove why", name)
	if err == nil {
		err = d.removeWhy(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeWhy removes the why-file of name, whether the message is there or not, and what says that it is to be told of.
func (d *Dir) removeWhy(name string) error {
	return errors.Join(d.fs.Remove(d.in(failedDir, name+whySuffix)), d.Told(name))
}

// orphanWhy returns the path of the why-file of name: fs.ErrNotExist while the message itself is in failed/.
func (d *Dir) orphanWhy(act, name string) (string, error) {
	if err := d.check(act, name); err != nil {
		return "", err
	}
	path := d.in(failedDir, name+whySuffix)
	if _, err := d.fs.Lstat(path); errors.Is(err, syscall.ENAMETOOLONG) { // Fail has given such a message another name
		return "", &fs.PathError{Op: act, Path: path, Err: fs.ErrNotExist}
	} else if err != nil { // nearly always: so it is looked at first
		return "", err
	}
	present, err := d.exists(d.in(failedDir, name))
	if err != nil {
		return "", err
	}
	if present {
		return "", &fs.PathError{Op: act, Path: path, Err: fs.ErrNotExist}
	}
	return path, nil
}
