package sentlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/unbit/spoolgore/internal/addrmask"
	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// maxLine is far more than a line is, in bytes.
const maxLine = 1 << 20

// Read calls each for every entry of the log of the spool directory dir, oldest first, until each returns an error. A
// line that is no entry is left out: a killed process may have written a part of it. Without a log there are none.
func Read(dir string, each func(e *Entry) error) error {
	path := filepath.Join(dir, spooldir.SentFile)
	// The current file first: if it becomes the old one meanwhile, both are the same file.
	now, err := openRead(path)
	if err != nil {
		return err
	}
	if now != nil {
		defer now.Close()
	}
	old, err := openRead(path + oldSuffix)
	if err != nil {
		return err
	}
	if old != nil {
		defer old.Close()
		if !same(old, now) {
			if err := readFile(old, each); err != nil {
				return err
			}
		}
	}
	if now == nil {
		return nil
	}
	return readFile(now, each)
}

func openRead(path string) (fsys.File, error) {
	f, err := spooldir.OpenRead(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

func same(a, b fsys.File) bool {
	if b == nil {
		return false
	}
	fa, errA := a.Stat()
	fb, errB := b.Stat()
	return errA == nil && errB == nil && fsys.SameFile(fa, fb)
}

func readFile(f fsys.File, each func(e *Entry) error) error {
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		e := new(Entry)
		if json.Unmarshal(lines.Bytes(), e) != nil || e.Outcome == "" {
			continue
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return lines.Err()
}

// IsAbout reports whether e is about query: a Message-ID with or without brackets, the name of a message file, or the
// address of a recipient, of the sender or of a redirect. Case is ignored. An address that was shortened in the log
// stands for all addresses with that short form.
func (e *Entry) IsAbout(query string) bool {
	if e.File == query {
		return true
	}
	if query == "<>" {
		return e.From == ""
	}
	query = strings.TrimSuffix(strings.TrimPrefix(query, "<"), ">")
	if query == "" {
		return false
	}
	for _, text := range []string{strings.Trim(e.MessageID, "<>"), e.To, e.From, e.Redirect} {
		if strings.EqualFold(text, query) {
			return true
		}
	}
	short := addrmask.Address(query)
	return short != query && (strings.EqualFold(e.To, short) || strings.EqualFold(e.From, short))
}
