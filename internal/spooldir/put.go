package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/unbit/spoolgore/internal/fsys"
)

// Put brings a new file into the spool: write writes it, and when Put has returned its name the file survives a power
// cut. The name sorts by time and was never used before, and nothing is ever overwritten. The spool directory must
// exist, tmp/ is made if it is missing. After an error, be it of write or of the disk, nothing is left in the spool.
// The file is for its owner only, but in a spool that is shared by a group (setgid, mode 2770) it is for the group too: the
// daemon is in it, and the owner is whoever wrote the message.
//
// A crash may leave an unfinished tmp/.put-NAME, which is never taken for a message and which Recover removes in time.
func (d *Dir) Put(write func(io.Writer) error) (name string, err error) {
	tmp, err := d.build(write)
	if err != nil {
		return "", fmt.Errorf("put message: %w", err)
	}
	name, err = d.moveIn(tmp, strings.TrimPrefix(filepath.Base(tmp), putPrefix))
	if err != nil {
		return "", fmt.Errorf("put message: %w", errors.Join(err, d.fs.Remove(tmp)))
	}
	if err := d.fs.SyncDir(d.path); err != nil {
		// The caller will be told that it failed and may try again: this one must not be sent too.
		return "", fmt.Errorf("put message: %w", errors.Join(err, d.fs.Remove(d.File(name))))
	}
	return name, nil
}

// build makes a synced file in tmp/ and returns its path; after an error there is none.
func (d *Dir) build(write func(io.Writer) error) (path string, err error) {
	f, err := d.createTmp()
	if err != nil {
		return "", err
	}
	built := false
	defer func() {
		f.Close()
		if !built { // also when write panics
			d.fs.Remove(f.Name())
		}
	}()
	if err := d.share(f); err != nil {
		return "", err
	}
	if err := buffered(f, write); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil { // some network file systems report a full disk only here
		return "", err
	}
	built = true
	return f.Name(), nil
}

// putPrefix begins the names of the files that Put builds in tmp/; what is to be the name in the spool follows. Nobody else
// uses it.
const putPrefix = ".put-"

// createTmp creates a file in tmp/ under a name that is not taken.
func (d *Dir) createTmp() (f fsys.File, err error) {
	err = d.withSub(tmpDir, func() error {
		for range maxTries {
			f, err = d.fs.OpenFile(d.in(tmpDir, putPrefix+d.newName()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if !errors.Is(err, fs.ErrExist) {
				break
			}
		}
		return err
	})
	return f, err
}

// share lets the group have f in a spool that belongs to one, whatever the umask. Reading is not enough: nobody may link a
// file of others that he cannot write (fs.protected_hardlinks on Linux), and that is the way to failed/.
func (d *Dir) share(f fsys.File) error {
	spool, err := d.fs.Stat(d.path)
	if err != nil {
		return err
	}
	if shared := fs.ModeSetgid | 0o070; spool.Mode()&shared != shared {
		return nil
	}
	return f.Chmod(0o660)
}

// maxTries bounds the search for a free name. Names are random: a second try is already a miracle, or a sick disk.
const maxTries = 10

// moveIn moves the file at path into the spool under name or, if that is taken, under a new one.
func (d *Dir) moveIn(path, name string) (string, error) {
	err := d.move(path, d.File(name))
	for try := 1; try < maxTries && errors.Is(err, fs.ErrExist); try++ {
		name = d.newName()
		err = d.move(path, d.File(name))
	}
	return name, err
}
