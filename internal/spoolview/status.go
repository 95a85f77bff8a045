package spoolview

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// record is a message of the status file, as far as it is shown; see spoolgore.Message.
type record struct {
	From        string
	To, Cc, Bcc []Recipient
	Attempts    int
	Enqueued    time.Time
	Error       string
	Expire      time.Time
	Priority    int
	Size        int64
	Modified    time.Time
	Held        time.Time
	NotBefore   time.Time
	MessageID   string
	RawName     []byte
}

// fill tells e what r knows.
func (r *record) fill(e *Entry) {
	e.From, e.To, e.Cc, e.Bcc = r.From, r.To, r.Cc, r.Bcc
	e.Attempts, e.Error, e.Expire, e.Priority = r.Attempts, r.Error, r.Expire, r.Priority
	e.Held, e.NotBefore, e.MessageID, e.RawName = r.Held, r.NotBefore, r.MessageID, r.RawName
	if !r.Enqueued.IsZero() {
		e.Enqueued = r.Enqueued
	}
}

// speaksOf reports whether r was written of the file as it is now. What does not say has not changed.
func (r *record) speaksOf(fi fs.FileInfo) bool {
	return r.Modified.IsZero() || r.Size < 0 || r.Size == fi.Size() && r.Modified.Equal(fi.ModTime())
}

// known calls each for the messages of the status file that are there, and takes them out of there. Without a status file
// there are none.
func (v *View) known(there map[string]spooldir.Place, each func(*Entry) error) error {
	f, err := spooldir.OpenRead(v.status)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			v.Trouble = err
		}
		return nil
	}
	defer f.Close()
	var stop error
	v.Trouble = decode(json.NewDecoder(bufio.NewReaderSize(f, 64<<10)), func(key string, r *record) bool {
		name := filepath.Base(key)
		if len(r.RawName) > 0 {
			name = string(r.RawName)
		}
		place, ok := there[name]
		if !ok {
			return true
		}
		stop = v.one(named{name, place}, func(n named, fi fs.FileInfo) *Entry {
			e := v.unread(n, fi)
			r.fill(e)
			e.Known, e.Changed = true, !r.speaksOf(fi)
			return e
		}, each)
		delete(there, name)
		return stop == nil && len(there) > 0
	})
	return stop
}

// decode reads a status file one message at a time, as there may be a million, for as long as each says so.
func decode(d *json.Decoder, each func(key string, r *record) bool) error {
	switch first, err := d.Token(); {
	case err != nil:
		return err
	case first == nil: // it says null
		return nil
	case first != json.Delim('{'):
		return errors.New("it is not an object of messages by file name")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var r record
		if err := d.Decode(&r); err != nil {
			return err
		}
		if !each(key.(string), &r) {
			return nil
		}
	}
	_, err := d.Token()
	return err
}

// IsStatus reports whether e, of which nothing is known, is no message but a status file: that of a daemon which has it in
// the spool under a name of its own.
func (v *View) IsStatus(e *Entry) bool {
	if e.Known || !e.Info.Mode().IsRegular() {
		return false
	}
	f, err := spooldir.OpenRead(v.Dir.At(e.Place, e.Name))
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

// Missing reports whether there is no status file.
func (v *View) Missing() bool {
	_, err := os.Lstat(v.status)
	return errors.Is(err, fs.ErrNotExist)
}
