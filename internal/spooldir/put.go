package spooldir

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/unbit/spoolgore/internal/fsys"
)

// Put writes a new message into the spool with write. When Put returns its name, the message survives a power cut. The
// name is unique and sorts by time, and no file is overwritten. The spool directory must exist; a missing tmp/ is made.
// After an error, of write or of the disk, there is no new message in the spool.
//
// Only the owner can read the file. In a spool shared by a group (setgid, mode 2770) the group can, too: the daemon
// is a member of the group, and the owner is the user that wrote the message.
//
// A crash may leave an unfinished tmp/.put-NAME, which is never taken for a message. Recover removes it later.
func (d *Dir) Put(write func(io.Writer) error) (name string, err error) {
	item := &Putting{Write: write}
	d.PutAll([]*Putting{item})
	return item.Name, item.Err
}

// PutNamed is Put for a message that includes its own name in the spool. If another program takes the name at the same
// moment, the message gets another name.
func PutNamed(d *Dir, write func(w io.Writer, name string) error) (name string, err error) {
	item := &Putting{named: write}
	d.PutAll([]*Putting{item})
	return item.Name, item.Err
}

// Putting is one message of PutAll.
type Putting struct {
	Write func(io.Writer) error // writes the message
	Fixed string                // the only name that the message may have; empty: a new unique name
	Used  func() bool           // reports whether a message with the Fixed name was sent; nil: none was
	Name  string                // set by PutAll: name of the message in the spool
	Err   error                 // set by PutAll: why there is no message; an item with Err set before is left out

	named func(w io.Writer, name string) error // in place of Write: gets the name of the message; nil: Write writes

	path string // of the file in tmp/
	sent bool   // Used reported so: the message has left the spool
}

// used calls Used.
func (p *Putting) used() bool {
	return p.Used != nil && p.Used()
}

// write writes the message with the name in the spool.
func (p *Putting) write(w io.Writer, name string) error {
	if p.named != nil {
		return p.named(w, name)
	}
	return p.Write(w)
}

// ErrTaken is the error of an item whose Fixed name a message in the spool, in hold/ or in failed/ has, or had when it
// was sent. Name is set.
var ErrTaken = errors.New("there is a message with that name")

// PutAll is Put for several messages, with few syncs for all.
func (d *Dir) PutAll(items []*Putting) {
	built := make([]*Putting, 0, len(items))
	defer func() {
		for _, item := range built {
			d.building.remove(item.path)
		}
	}()
	for _, item := range items {
		if item.Err != nil {
			continue
		}
		if item.Fixed != "" && (errors.Is(taken(d, item.Fixed, Hold, Failed), ErrTaken) || item.used()) {
			item.Name, item.Err = item.Fixed, fmt.Errorf("put message: %w", ErrTaken)
			continue
		}
		if item.path, item.Err = build(d, item); item.Err != nil {
			item.Err = fmt.Errorf("put message: %w", item.Err)
			continue
		}
		built = append(built, item)
	}
	if len(built) > 0 {
		placeBuilt(d, built)
	}
}

// placeBuilt syncs the files of items in tmp/ and moves them into the spool.
func placeBuilt(d *Dir, items []*Putting) {
	paths := make([]string, len(items))
	for i, item := range items {
		paths[i] = item.path
	}
	err := syncFiles(d, paths, "")
	named := false
	for _, item := range items {
		if item.Err = err; err == nil {
			place(d, item)
		}
		if item.Err != nil {
			item.Err = errors.Join(item.Err, d.fs.Remove(item.path))
		}
		named = named || item.Name != "" // also of another message: the caller relies on it
	}
	if named {
		d.seen.Store(true)
		err = d.syncs.do(func() error { return d.fs.SyncDir(d.path) })
	}
	for _, item := range items {
		switch {
		case item.Err == nil && err != nil: // the caller may try again, and one message must not be sent twice
			item.Name, item.Err = "", errors.Join(err, d.fs.Remove(d.File(item.Name)))
		case item.Err != nil && errors.Is(item.Err, ErrTaken) && !item.sent:
			if gone := stillTaken(d, item.Fixed, err); gone != nil {
				item.Name, item.Err = "", gone
			}
		}
		if item.Err != nil {
			item.Err = fmt.Errorf("put message: %w", item.Err)
		}
	}
}

// stillTaken returns an error if the message name may not be on disk, so that a caller cannot rely on it: the sync has
// failed, or the message has gone since, perhaps because its own Put has failed.
func stillTaken(d *Dir, name string, syncErr error) error {
	if syncErr != nil {
		return syncErr
	}
	err := taken(d, name, Spool, Hold, Failed)
	if err == nil {
		return fmt.Errorf("message %s has gone while another one with its name was put", name)
	}
	if !errors.Is(err, ErrTaken) {
		return err
	}
	return nil
}

// place moves the file of item into the spool and sets Name.
func place(d *Dir, item *Putting) {
	if item.Fixed == "" {
		name := strings.TrimPrefix(filepath.Base(item.path), putPrefix)
		if item.Name, item.Err = moveIn(d, item.path, name); item.Err != nil {
			item.Name = ""
		}
		return
	}
	there, err := exists(d.fs, d.File(item.Fixed)) // before used, which knows of a message before its file has gone
	if err == nil && !there && item.used() {
		item.Name, item.Err, item.sent = item.Fixed, ErrTaken, true
		return
	}
	item.Err = move(d.fs, item.path, d.File(item.Fixed))
	if errors.Is(item.Err, fs.ErrExist) {
		item.Err = ErrTaken
	} else if item.Err == nil {
		item.Name = item.Fixed
		if err := taken(d, item.Fixed, Hold, Failed); err != nil { // moved there while this one was built
			item.Name, item.Err = "", errors.Join(err, d.fs.Rename(d.File(item.Fixed), item.path))
		}
	}
	if errors.Is(item.Err, ErrTaken) {
		item.Name = item.Fixed
	}
}

// taken returns ErrTaken if a message in one of the places has that name.
func taken(d *Dir, name string, places ...Place) error {
	for _, place := range places {
		there, err := exists(d.fs, d.At(place, name))
		if err != nil {
			return err
		}
		if there {
			return ErrTaken
		}
	}
	return nil
}

// build makes a file in tmp/, unsynced, and returns its path. After an error there is no file.
func build(d *Dir, item *Putting) (path string, err error) {
	spool, err := d.fs.Stat(d.path) // first: another directory may be there by now
	if err != nil {
		return "", err
	}
	f, err := createTmp(d)
	if err != nil {
		return "", err
	}
	built := false
	defer func() {
		f.Close()
		if !built { // also when write panics
			d.fs.Remove(f.Name())
			d.building.remove(f.Name())
		}
	}()
	if err := share(spool, f); err != nil {
		return "", err
	}
	name := cmp.Or(item.Fixed, strings.TrimPrefix(filepath.Base(f.Name()), putPrefix))
	if err := d.buffers.write(f, func(w io.Writer) error { return item.write(w, name) }); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil { // some network file systems report a full disk only here
		return "", err
	}
	built = true
	return f.Name(), nil
}

// putPrefix begins the names of the files that Put builds in tmp/. The name in the spool follows. No other program uses
// the prefix.
const putPrefix = ".put-"

// createTmp creates a file in tmp/ under a free name.
func createTmp(d *Dir) (f fsys.File, err error) {
	err = withSub(d, tmpDir, func() error {
		for range maxTries {
			f, err = createBuilding(d, d.At(tmpDir, putPrefix+d.newName()))
			if !errors.Is(err, fs.ErrExist) {
				break
			}
		}
		return err
	})
	if errors.Is(err, errNotOurs) { // the name begins with a dot, so the file is no message yet
		f, err = createBuilding(d, d.File(putPrefix+d.newName()))
	}
	return f, err
}

// createBuilding creates a new file at path, which is in d.building from before the call.
func createBuilding(d *Dir, path string) (fsys.File, error) {
	d.building.add(path)
	f, err := d.fs.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		d.building.remove(path)
	}
	return f, err
}

// pathSet is a set of paths. The zero value is empty.
type pathSet struct {
	mu    sync.Mutex
	paths map[string]bool
}

func (s *pathSet) add(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paths == nil {
		s.paths = make(map[string]bool)
	}
	s.paths[path] = true
}

func (s *pathSet) remove(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.paths, path)
}

func (s *pathSet) has(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paths[path]
}

// share makes f readable and writable for the group in a spool of a group, also against the umask. Reading is not
// enough: Linux lets no user link a file that the user cannot write (fs.protected_hardlinks), and a move may need a
// link.
func share(spool fs.FileInfo, f fsys.File) error {
	if shared := fs.ModeSetgid | 0o070; spool.Mode()&shared != shared {
		return nil
	}
	return f.Chmod(0o660)
}
