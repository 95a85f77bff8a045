package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// Remove removes the very version id of name, which has been delivered: ErrChanged, and the file stays, if another one
// is there or this one was written to; fs.ErrNotExist if it is gone.
//
// No system call removes a file on condition, so it is first renamed into tmp/, where nobody replaces it, looked at
// there, and then removed, or moved back without overwriting: if its name was taken meanwhile, under a new one. A
// crash after the rename leaves tmp/.sent-INO-SIZE-TIME-NAME, which Recover removes or brings back. A removal is not
// synced: until Sync a power cut may bring the file back, as if it had not been delivered.
func (d *Dir) Remove(name string, id ID) error {
	if err := d.check("remove", name); err != nil {
		return err
	}
	aside, err := d.setAside(name, id)
	if err == nil {
		err = d.fs.Remove(aside)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// Sync makes the removals so far survive a power cut.
func (d *Dir) Sync() error { return d.fs.SyncDir(d.path) }

// setAside moves the version id of name into tmp/ and returns its path there. After an error the file is in the spool.
func (d *Dir) setAside(name string, id ID) (aside string, err error) {
	if err := d.same(d.File(name), id); err != nil {
		return "", err // by far the most changes are seen here, before anything has moved
	}
	aside = d.in(tmpDir, sentName(id, name))
	err = d.withSub(tmpDir, func() error { return d.move(d.File(name), aside) })
	if errors.Is(err, fs.ErrExist) { // left by a crash
		aside = d.in(tmpDir, sentName(id, d.newName()))
		err = d.move(d.File(name), aside)
	}
	if err != nil {
		return "", err
	}
	if err := d.same(aside, id); err != nil {
		_, back := d.moveIn(aside, name)
		return "", errors.Join(err, back)
	}
	return aside, nil
}

// same returns nil if the file at path is the version id, else ErrChanged. The number of links does not matter here.
func (d *Dir) same(path string, id ID) error {
	fi, err := d.fs.Lstat(path)
	if err != nil {
		return err
	}
	if found, _ := fileID(fi); !fi.Mode().IsRegular() || !found.Equal(id) {
		return ErrChanged
	}
	return nil
}

const (
	sentPrefix = ".sent-"
	// longName is the longest name that is kept in the name of a file set aside: some file systems allow no more
	// than 143 bytes in all.
	longName = 72
)

// sentName says all that Recover needs: which version was delivered, and what it was called. A long name is replaced
// by a new one.
func sentName(id ID, name string) string {
	if len(name) > longName {
		name = newName(time.Now())
	}
	return fmt.Sprintf("%s%d-%d-%d-%s", sentPrefix, id.Ino, id.Size, id.ModTime.UnixNano(), name)
}

// parseSent is the inverse of sentName. A time before 1970 has a sign of its own.
func parseSent(sent string) (id ID, name string, ok bool) {
	rest, ok := strings.CutPrefix(sent, sentPrefix)
	if !ok {
		return ID{}, "", false
	}
	inoText, rest, _ := strings.Cut(rest, "-")
	sizeText, rest, _ := strings.Cut(rest, "-")
	before1970 := strings.HasPrefix(rest, "-")
	timeText, name, _ := strings.Cut(strings.TrimPrefix(rest, "-"), "-")
	ino, err1 := strconv.ParseUint(inoText, 10, 64)
	size, err2 := strconv.ParseInt(sizeText, 10, 64)
	nano, err3 := strconv.ParseInt(timeText, 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil || size < 0 || nano < 0 || name == "" {
		return ID{}, "", false
	}
	if before1970 {
		nano = -nano
	}
	return ID{Ino: ino, Size: size, ModTime: time.Unix(0, nano)}, name, true
}
