package mailq

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// fill copies m, the record of the message, to e.
func (e *Entry) fill(m *record.Message) {
	e.From, e.To, e.Cc, e.Bcc = m.From, m.To, m.Cc, m.Bcc
	e.Attempts, e.Error, e.Expire, e.Priority = m.Attempts, m.Error, m.Expire, m.Priority
	e.Held, e.NotBefore, e.MessageID, e.RawName = m.Held, m.NotBefore, m.MessageID, m.RawName
	e.Overdue, e.Removed, e.ID = m.Overdue, m.Removed, m.ID
	e.UID = cmp.Or(m.UID, e.UID)
	if !m.Enqueued.IsZero() {
		e.Enqueued = m.Enqueued
	}
	e.Known, e.partial, e.digest = true, m.Partial(), m.Digest
}

// errEnough ends the reading of a status file early.
var errEnough = errors.New("enough of the status file was read")

// records calls each for every record of the status file or of v.Live, with its key, until each returns an error.
// Without a status file there are none. An error of the status file is stored in v.Trouble.
func (v *View) records(each func(key string, m *record.Message) error) error {
	var stop error
	if v.Live != nil {
		for key, m := range v.Live {
			if stop = each(key, m); stop != nil {
				break
			}
		}
		return endOf(stop)
	}
	f, err := spooldir.OpenReadOn(v.Dir.FS(), v.status)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			v.Trouble = err
		}
		return nil
	}
	defer f.Close()
	err = record.DecodeLiveStatus(f, func(key string, m *record.Message) error {
		stop = each(key, m)
		return stop
	})
	if v.Trouble = err; stop != nil {
		v.Trouble = nil
	}
	return endOf(stop)
}

// Keep reads the status file once for many calls of v.Find: until v.Live is nil again, Find knows only the records of
// files with these names.
func Keep(v *View, names map[string]bool) error {
	kept := make(map[string]*record.Message)
	err := v.records(func(key string, m *record.Message) error {
		if names[record.FileName(key, m)] {
			kept[key] = m.Clone()
		}
		return nil
	})
	if err == nil && v.Trouble == nil {
		v.Live = kept
	}
	return err
}

// endOf returns the error that ended an iteration, but not errEnough.
func endOf(stop error) error {
	if errors.Is(stop, errEnough) {
		return nil
	}
	return stop
}

// placesOf returns the places where the file of the record m under that key may be, the likely one first.
func placesOf(d *spooldir.Dir, key string, m *record.Message) []spooldir.Place {
	if !m.Held.IsZero() || filepath.Dir(key) == d.File(string(spooldir.Hold)) {
		return []spooldir.Place{spooldir.Hold, spooldir.Spool}
	}
	return []spooldir.Place{spooldir.Spool, spooldir.Hold}
}

// known returns the entry of a file with the record m.
func (v *View) known(n named, fi fs.FileInfo, m *record.Message) *Entry {
	e := v.unread(n, fi)
	e.fill(m)
	e.Changed = describes(m, fi) == record.OtherVersion
	return e
}

// describes says whether m was made from the version fi of a file.
func describes(m *record.Message, fi fs.FileInfo) record.Match {
	return m.Describes(fi.Size(), fi.ModTime(), spooldir.IDOf(fi).Ino)
}

// isOther reports whether the file fi, under the name of the record m, is another one: that of the record was missing.
func isOther(m *record.Message, fi fs.FileInfo) bool {
	return !m.Missing.IsZero() && describes(m, fi) != record.ThisVersion
}

// IsStatus reports whether e, a file without a record, is a status file: that of a daemon with a status file of another
// name in the spool.
func (v *View) IsStatus(e *Entry) bool {
	if e.Known || e.Info == nil || !e.Info.Mode().IsRegular() {
		return false
	}
	f, err := spooldir.OpenReadOn(v.Dir.FS(), v.Dir.At(e.Place, e.Name))
	if err != nil {
		return false
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReader(f))
	first, _ := d.Token()
	key, err := d.Token()
	path, _ := key.(string)
	return first == json.Delim('{') && err == nil && (key == json.Delim('}') || filepath.IsAbs(path))
}

// SetAside returns the damaged status files that a start has set aside, in the order of their times.
func (v *View) SetAside() []string {
	all, _ := filepath.Glob(escapeGlob(v.status) + spooldir.BadStatus + "*") // the pattern is valid
	return all
}

// escapeGlob returns path as a pattern of filepath.Glob that matches only path.
func escapeGlob(path string) string {
	if filepath.Separator == '\\' { // there is no way to escape
		return path
	}
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

// Missing reports whether there is no status file.
func (v *View) Missing() bool {
	_, err := v.Dir.FS().Lstat(v.status)
	return errors.Is(err, fs.ErrNotExist)
}
