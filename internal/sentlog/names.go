package sentlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Names has the names of the accepted messages in the log of a spool whose name was made of an id. Names reads only
// entries that are new since the last call. Its methods may be called by any goroutine.
type Names struct {
	fs   fsys.FS
	path string

	mu       sync.Mutex
	now, old seen
}

// NewNames returns the names in the log of the spool directory dir. It reads no file.
func NewNames(on fsys.FS, dir string) *Names {
	return &Names{fs: on, path: filepath.Join(dir, spooldir.SentFile)}
}

// seen is what was read of one file.
type seen struct {
	info  fs.FileInfo // nil: no file yet
	end   int64       // position behind the last complete line
	names map[string]bool
}

// Has reports whether the log has an entry for a recipient who got the message file.
func (n *Names) Has(file string) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.now
	if err := n.now.read(n.fs, n.path); err != nil {
		return false, err
	}
	if was.info != nil && (n.now.info == nil || !fsys.SameFile(was.info, n.now.info)) {
		n.old = was // most likely: read makes sure
	}
	if err := n.old.read(n.fs, n.path+oldSuffix); err != nil {
		return false, err
	}
	return n.now.names[file] || n.old.names[file], nil
}

// read reads the lines of the file at path that are new, or all if it is another file.
func (s *seen) read(on fsys.FS, path string) error {
	f, err := spooldir.OpenReadOn(on, path)
	if errors.Is(err, fs.ErrNotExist) {
		*s = seen{}
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if s.info == nil || !fsys.SameFile(fi, s.info) || fi.Size() < s.end {
		*s = seen{names: make(map[string]bool)}
	}
	s.info = fi
	if fi.Size() == s.end {
		return nil
	}
	text, err := io.ReadAll(io.NewSectionReader(f, s.end, min(fi.Size()-s.end, mostRead)))
	if err != nil {
		return err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	s.end += int64(len(text))
	for line := range bytes.Lines(text) {
		var e struct{ Outcome, File string }
		if json.Unmarshal(line, &e) == nil && e.Outcome == Sent && spooldir.IsNameOfID(e.File) {
			s.names[e.File] = true
		}
	}
	return nil
}

// mostRead is more than a file has, in bytes, with any sensible number of entries.
const mostRead = 1 << 28
