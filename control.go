package spoolgore

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Observe has f called with every event after Options.OnEvent, under the same rules, until remove is called.
func (s *Spool) Observe(f func(Event)) (remove func()) { return s.watchers.Add(f) }

// Messages returns the messages that f chooses, sorted by name, as they were at the call. While nothing runs in this
// process, recipients are those of the status file. A page of n messages has Filter.Limit n; the next page begins after
// the last name (Filter.After). The last pair may be an error: the spool cannot be read.
func (s *Spool) Messages(f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		view, err := viewOf(s)
		var found []*mailq.Entry
		if err == nil {
			found, err = view.Select(f.query())
		}
		for _, e := range found {
			if !yield(entryOf(e), nil) {
				return
			}
		}
		if err != nil {
			yield(Entry{}, fmt.Errorf("spoolgore: messages: %w", err))
		}
	}
}

// Get returns one message. The error is fs.ErrNotExist if no message in place has that name.
func (s *Spool) Get(place Place, name string) (Entry, error) {
	view, err := viewOf(s)
	if err == nil {
		var e *mailq.Entry
		if e, err = view.Find(spooldir.Place(place), name); err == nil {
			view.ReadHeader(e)
			return entryOf(e), nil
		}
	}
	return Entry{}, fmt.Errorf("spoolgore: get: %w", err)
}

// viewOf returns a view of the spool, with the records of the Run of this process.
func viewOf(s *Spool) (*mailq.View, error) {
	if s.dirErr != nil {
		return nil, s.dirErr
	}
	s.mu.Lock()
	status := s.opts.StatusFile
	s.mu.Unlock()
	view, err := mailq.Of(s.dir.Path(), status, time.Now())
	var live func() map[string]*record.Message
	do(s, func(c *engine.Control, done func()) {
		c.Records(func(records func() map[string]*record.Message) { live = records; done() })
	}, func() {})
	if live != nil {
		view.Live = live()
	}
	return view, err
}

// Hold moves a message of the spool to hold/: it is not sent, and its age does not grow. A transaction in progress goes
// on.
func (s *Spool) Hold(name string) error {
	return moveMessage(s, "hold", name, spooldir.Spool, spooldir.Hold)
}

// Release moves a message back from hold/ into the spool.
func (s *Spool) Release(name string) error {
	return moveMessage(s, "release", name, spooldir.Hold, spooldir.Spool)
}

// Retry has a message of the spool tried now, or moves a message back from failed/ into the spool, from where it goes
// to the recipients who had failed.
func (s *Spool) Retry(place Place, name string) error {
	if place == PlaceFailed {
		return moveMessage(s, "retry", name, spooldir.Failed, spooldir.Spool)
	}
	return steer(s, "retry", name, func(by spooldir.Steering) error {
		return errors.Join(by.Touch(name), by.Touched())
	})
}

// Redirect gives a message another recipient: the address to takes the place of all recipients that have not got the
// message. A waiting message is tried now, a held one stays held, and one in failed/ moves back into the spool. The
// fields To and Cc stay as they are. A bad address is an *AddressError.
func (s *Spool) Redirect(place Place, name, to string) error {
	retried := ""
	if place == PlaceSpool {
		retried = name
	}
	return steer(s, "redirect", retried, func(by spooldir.Steering) error {
		address, err := message.Canonical(to)
		if err != nil {
			return &AddressError{Address: to, Err: err}
		}
		view, err := viewOf(s)
		if err == nil {
			err = view.Readdress(spooldir.Place(place), name, func(string) ([]string, error) {
				return []string{address}, nil
			})
		}
		if err == nil {
			err = by.Touched()
		}
		return err
	})
}

// Delete removes a message for good, from failed/ with its why-file. No report is sent. A transaction in progress goes
// on.
func (s *Spool) Delete(place Place, name string) error {
	return steer(s, "delete", "", func(by spooldir.Steering) error {
		return by.DiscardAny(spooldir.Place(place), name)
	})
}

// moveMessage moves a message from one place to another.
func moveMessage(s *Spool, act, name string, from, to spooldir.Place) error {
	return steer(s, act, "", func(by spooldir.Steering) error { return by.Shift(name, from, to) })
}

// steer does act as the command of that name does. Then Run lists the directory, and tries the message retried, if any.
func steer(s *Spool, name, retried string, act func(spooldir.Steering) error) error {
	err := s.dirErr
	if err == nil {
		err = act(s.dir.Steering())
	}
	if err == nil {
		err = s.dir.SyncPlaces()
	}
	if err != nil {
		return fmt.Errorf("spoolgore: %s: %w", name, err)
	}
	do(s, func(c *engine.Control, done func()) {
		c.Rescan(retried)
		done()
	}, func() {})
	return nil
}
