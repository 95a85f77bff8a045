package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

// Remove removes the version id of name, which was delivered. Errors: ErrChanged, and the file stays, if there is
// another version; fs.ErrNotExist if there is no file.
//
// No system call removes a file on a condition. So Remove renames the file into tmp/, where no program replaces it,
// compares the version there, and then removes the file or moves it back. If its name was taken meanwhile it gets a
// new one. A crash after the rename leaves tmp/.sent-INO-SIZE-TIME-NAME, which Recover removes or moves back. A
// removal is not synced: until SyncPlaces a power cut may undo it, and the message is sent again. Where tmp/ cannot be
// made, Remove compares the version in the spool: a file that replaces the message at that very moment is lost.
func (d *Dir) Remove(name string, id ID) error {
	if err := check("remove", name); err != nil {
		return err
	}
	aside, err := setAside(d, name, id)
	if noRoom(err) || errors.Is(err, syscall.ENOTDIR) { // tmp/ cannot be made, and is no way to make room
		aside = d.File(name)
		err = sameVersion(d.fs, aside, id)
	}
	if err == nil {
		err = d.fs.Remove(aside)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// setAside moves the version id of name into tmp/ and returns its path there. After an error the file is in the spool.
func setAside(d *Dir, name string, id ID) (aside string, err error) {
	if err := sameVersion(d.fs, d.File(name), id); err != nil {
		return "", err // nearly all changes are found here, before a file has moved
	}
	aside = d.At(tmpDir, sentName(id, name))
	err = withSub(d, tmpDir, func() error { return move(d.fs, d.File(name), aside) })
	if errors.Is(err, fs.ErrExist) { // left by a crash
		aside = d.At(tmpDir, sentName(id, d.newName()))
		err = move(d.fs, d.File(name), aside)
	}
	if err != nil {
		return "", err
	}
	if err := movedVersion(d, aside, id); err != nil {
		_, back := moveIn(d, aside, name)
		return "", errors.Join(err, back)
	}
	return aside, nil
}

// sameVersion returns nil if the file at path is the version id, else ErrChanged. The number of links is ignored.
func sameVersion(on fsys.FS, path string, id ID) error {
	fi, err := on.Lstat(path)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || !IDOf(fi).Equal(id) {
		return ErrChanged
	}
	return nil
}

const (
	// sentPrefix is the prefix of files that Remove sets aside in tmp/. Version 1 also used the prefix for given-up
	// messages.
	sentPrefix = ".sent-"
	// longName is the longest name that is kept in the name of a file set aside, in bytes: some file systems allow no
	// more than 143 bytes in all.
	longName = 72
)

// sentName returns the name of a file set aside: the version that was delivered, and the name of the message. A long
// name is replaced by a new one.
func sentName(id ID, name string) string {
	if len(name) > longName {
		name = newName(time.Now())
	}
	b := make([]byte, 0, 160)
	b = strconv.AppendUint(append(b, sentPrefix...), id.Ino, 10)
	b = strconv.AppendInt(append(b, '-'), id.Size, 10)
	b = strconv.AppendInt(append(b, '-'), id.ModTime.UnixNano(), 10)
	return string(append(append(b, '-'), name...))
}

// parseSent is the inverse of sentName. A time before 1970 has a minus sign.
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
