package mailq

import (
	"errors"
	"io"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Reasons why Readdress leaves a message alone.
var (
	ErrSending     = errors.New("it is being sent at this moment: try again")
	ErrNoneLeft    = errors.New("every recipient has accepted the message already")
	ErrNoRecipient = errors.New("the file names no recipient: write a header in front of the text")
)

// ErrTemporary is the error for a message of the spool with a temporary name: a change of the file's time puts the
// message off.
var ErrTemporary = errors.New("a file with a temporary name is read when it has not changed for an hour: rename it")

// Readdress gives the message name in place other recipients: those that instead returns for each recipient that has
// not got the message. Recipients that have the message stay. A message in failed/ moves back into the spool. Without a
// later Dir.SyncPlaces a power cut may undo the change.
func (v *View) Readdress(place spooldir.Place, name string, instead func(addr string) ([]string, error)) error {
	e, err := v.Find(place, name)
	if err != nil {
		return err
	}
	switch {
	case e.State == Sending:
		return ErrSending
	case place == spooldir.Spool && spooldir.IsTemporary(name, v.Temporary):
		return ErrTemporary
	}
	if err := ReadRecipients(v, e); err != nil {
		return err
	}
	to, left, err := e.NewRecipients(instead)
	switch {
	case err != nil:
		return err
	case left == 0 && len(to) == 0:
		return ErrNoRecipient
	case left == 0:
		return ErrNoneLeft
	}
	err = rewrite(v, place, name, to)
	if err == nil && place == spooldir.Failed {
		err = v.Dir.Steering().Shift(name, spooldir.Failed, spooldir.Spool)
	}
	return err
}

// rewrite replaces the file name by one with the recipients to.
func rewrite(v *View, place spooldir.Place, name string, to []string) error {
	f, err := spooldir.OpenReadOn(v.Dir.FS(), v.Dir.At(place, name))
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
	front, err := message.Readdress(h, to, fi.ModTime())
	if err != nil {
		return err
	}
	return v.Dir.Steering().Rewrite(place, name, spooldir.IDOf(fi), func(w io.Writer) error {
		if _, err := w.Write(front); err != nil {
			return err
		}
		_, err := io.Copy(w, io.NewSectionReader(f, h.Start(), fi.Size()-h.Start()))
		return err
	})
}

// ReadRecipients reads the header of e unless the record is about the present version of the file and has all
// recipients. If the file still has the message of the record, an acceptance in the record counts.
func ReadRecipients(v *View, e *Entry) error {
	if !e.Known || !e.Changed && !e.partial {
		v.ReadHeader(e)
		return nil
	}
	accepted := make(map[string]record.Recipient)
	e.Recipients(func(r *record.Recipient) {
		if r.Accepted() {
			accepted[r.Address] = *r
		}
	})
	id, digest := e.MessageID, e.digest
	if err := v.readHeader(e); err != nil {
		return err
	}
	if e.MessageID == "" && e.digest != digest || e.MessageID != "" && e.MessageID != id {
		return nil // another message
	}
	e.Recipients(func(r *record.Recipient) {
		if known, ok := accepted[r.Address]; ok {
			*r = known
		}
	})
	return nil
}

// NewRecipients returns the recipients who have accepted e, and those that take the place of the others. left is the
// number of the others. A recipient that gets a copy for the operator is left out.
func (e *Entry) NewRecipients(instead func(addr string) ([]string, error)) (to []string, left int, err error) {
	seen := make(map[string]bool)
	add := func(addr string) {
		if !seen[addr] {
			seen[addr] = true
			to = append(to, addr)
		}
	}
	e.Recipients(func(r *record.Recipient) {
		if r.Accepted() && !r.Copy {
			add(r.Address)
		}
	})
	e.Recipients(func(r *record.Recipient) {
		if r.Accepted() || r.Copy {
			return
		}
		left++
		others, failure := instead(r.Address)
		err = errors.Join(err, failure)
		for _, addr := range others {
			add(addr)
		}
	})
	return to, left, err
}
