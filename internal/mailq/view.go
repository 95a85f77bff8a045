package mailq

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A View reads one spool.
type View struct {
	Dir *spooldir.Dir

	// Temporary are the patterns of temporary names; nil: the default patterns.
	Temporary []string

	// Trouble is why the status file could not be used. It is set by Each; nil: no problem, or no status file.
	Trouble error

	// Live has the record of each message in the spool and in hold/, in place of the status file; nil: the status file
	// is read.
	Live map[string]*record.Message

	status string // absolute path
	now    time.Time
}

// Of returns a view of the spool directory dir at the time now. status is the path of the status file; empty: the usual
// place. Of does not read the disk. The only error is that of a relative path without a working directory.
func Of(dir, status string, now time.Time) (*View, error) {
	d, err := spooldir.New(dir)
	if err == nil {
		status, err = spooldir.StatusPath(d, status)
	}
	return &View{Dir: d, status: status, now: now}, err
}

// StatusFile returns the path of the status file.
func (v *View) StatusFile() string { return v.status }

// unread returns the entry of a file without a record.
func (v *View) unread(n named, fi fs.FileInfo) *Entry {
	e := &Entry{Name: n.name, Place: n.place, Size: fi.Size(), Enqueued: fi.ModTime(), Info: fi}
	if uid := spooldir.Owner(fi); uid >= 0 {
		e.UID = strconv.Itoa(uid)
	}
	return e
}

// given is the entry of a message in failed/.
func (v *View) given(n named, fi fs.FileInfo) *Entry {
	e := v.unread(n, fi)
	text, err := v.Dir.Failed().Why(n.name)
	if errors.Is(err, fs.ErrNotExist) {
		e.Error = "the file that says why is missing: " + spooldir.WhyFile(n.name)
		return e
	}
	var why *record.Failure
	if err == nil {
		why, err = record.DecodeFailure(text)
	}
	if err != nil {
		e.Error = fmt.Sprintf("the file that says why cannot be used: %v", err)
		return e
	}
	e.fill(&why.Message)
	e.Changed = describes(&why.Message, fi) == record.OtherVersion
	e.Reason, e.GivenUp = why.Reason, why.Time
	return e
}

// Find returns the message name in place, as Each does. The error is fs.ErrNotExist if there is none.
func (v *View) Find(place spooldir.Place, name string) (*Entry, error) {
	path := v.Dir.At(place, name)
	isWhy := place == spooldir.Failed && spooldir.IsWhyFile(name)
	if !place.Known() || !spooldir.Usable(name) || path == v.status || isWhy {
		return nil, &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
	}
	fi, err := v.Dir.FS().Lstat(path)
	if err == nil && fi.IsDir() {
		err = &fs.PathError{Op: "find", Path: path, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	n := named{name, place}
	if place == spooldir.Failed {
		return v.concluded(v.given(n, fi)), nil
	}
	var found *Entry
	err = v.records(func(key string, m *record.Message) error {
		if record.FileName(key, m) != name {
			return nil
		}
		for _, likely := range placesOf(v.Dir, key, m) {
			if likely == place && !isOther(m, fi) {
				found = v.known(n, fi, m)
				return errEnough
			}
			if other, err := v.stat(named{name, likely}); other != nil || err != nil {
				return err // the record is that of another file
			}
		}
		return nil
	})
	if found == nil && err == nil {
		found = v.unread(n, fi)
	}
	return v.concluded(found), err
}

// ReadHeader reads sender and recipients from the file, if there is no record.
func (v *View) ReadHeader(e *Entry) {
	if e.Known {
		return
	}
	if err := v.readHeader(e); err != nil && e.Error == "" {
		e.Error = err.Error()
	}
	e.conclude(v.now)
}

func (v *View) readHeader(e *Entry) error {
	f, err := spooldir.OpenReadOn(v.Dir.FS(), v.Dir.At(e.Place, e.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	h, err := message.ReadHeader(f, fi.Size())
	if err != nil {
		return err
	}
	if env, err := h.Envelope(fi.ModTime()); err == nil && env != nil {
		e.NotBefore, e.Expire, e.Priority, e.ID = env.NotBefore, env.Expire, env.Priority, env.ID
	}
	a := h.Addresses()
	e.From, e.To, e.Cc, e.Bcc = a.From, recipients(a.To), recipients(a.Cc), recipients(a.Bcc)
	if e.MessageID, e.digest = h.Get("Message-ID"), ""; e.MessageID == "" {
		e.digest = h.Digest()
	}
	return a.FromErr
}

func recipients(addresses []message.Address) (all Recipients) {
	for _, a := range addresses {
		r := record.Recipient{Address: a.Addr}
		if a.Err != nil {
			r.Error = a.Err.Error()
		}
		all = append(all, r)
	}
	return all
}

// FailedCount has the counts of failed/.
type FailedCount struct {
	All, Recent int
	Bytes       int64  // of the messages
	Reports     int    // of Recent: messages from the null sender, which are undeliverable reports
	Report      string // name of one of the reports
}

// maxFailures bounds how many why-files CountFailed reads.
const maxFailures = 1000

// CountFailed counts the messages in failed/. Recent messages were given up after since, by the time of their
// why-files.
func (v *View) CountFailed(since time.Time) (f FailedCount, err error) {
	err = v.names(spooldir.Failed, func(name string) error {
		at, err := v.givenUp(name)
		if err != nil {
			return nil // it is gone
		}
		f.All++
		if fi, err := v.Dir.FS().Lstat(v.Dir.At(spooldir.Failed, name)); err == nil {
			f.Bytes += fi.Size()
		}
		if !at.After(since) {
			return nil
		}
		if f.Recent++; f.Recent <= maxFailures && v.isReport(name) {
			f.Reports, f.Report = f.Reports+1, name
		}
		return nil
	})
	return f, err
}

// isReport reports whether the message name in failed/ is from the null sender.
func (v *View) isReport(name string) bool {
	text, err := v.Dir.Failed().Why(name)
	if err != nil {
		return false
	}
	why, err := record.DecodeFailure(text)
	return err == nil && why.From == "" && len(why.To)+len(why.Cc)+len(why.Bcc) > 0
}

// givenUp returns when the message name came to failed/: the time of its why-file.
func (v *View) givenUp(name string) (time.Time, error) {
	fi, err := v.Dir.FS().Lstat(v.Dir.At(spooldir.Failed, spooldir.WhyFile(name)))
	if errors.Is(err, fs.ErrNotExist) {
		fi, err = v.Dir.FS().Lstat(v.Dir.At(spooldir.Failed, name))
	}
	if err != nil {
		return time.Time{}, err
	}
	return fi.ModTime(), nil
}
