package mailq

import (
	"errors"
	"io/fs"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// A Control moves, tries and removes messages as the commands do.
type Control struct {
	Dir  *spooldir.Dir
	View func() (*View, error)

	// Temporary are the patterns of temporary names; nil: the default patterns.
	Temporary []string

	// Rescan has a Run list the directory, and try the message retried; empty: none.
	Rescan func(retried string)

	// InFlight reports whether a Run has the message in a transaction.
	InFlight func(name string) bool
}

// end makes the change err durable if it is one, and has a Run notice the change.
func (c *Control) end(err error, retried string) error {
	if err == nil {
		err = c.Dir.SyncPlaces()
	}
	if err == nil {
		c.Rescan(retried)
	}
	return err
}

// Move moves a message from one place to another.
func (c *Control) Move(name string, from, to spooldir.Place) error {
	return c.end(c.Dir.Steering().Shift(name, from, to), "")
}

// Retry has a message tried now. A message in failed/ moves back into the spool. The file of a message in a transaction
// is left alone: after the transaction a changed file may not be the message that was sent.
func (c *Control) Retry(place spooldir.Place, name string) error {
	switch {
	case !place.Known():
		return &fs.PathError{Op: "retry", Path: string(place), Err: fs.ErrInvalid}
	case place == spooldir.Failed:
		return c.Move(name, place, spooldir.Spool)
	case c.InFlight(name):
		_, err := spooldir.StatIn(c.Dir, spooldir.Spool, name)
		return err
	case spooldir.IsTemporary(name, c.Temporary):
		return ErrTemporary
	}
	by := c.Dir.Steering()
	return c.end(errors.Join(by.Touch(name), by.Touched()), name)
}

// Redirect gives a message the recipient to, a canonical address.
func (c *Control) Redirect(place spooldir.Place, name, to string) error {
	view, err := c.View()
	if err == nil {
		err = view.Readdress(place, name, func(string) ([]string, error) { return []string{to}, nil })
	}
	if err == nil {
		err = c.Dir.Steering().Touched()
	}
	if place != spooldir.Spool {
		name = ""
	}
	return c.end(err, name)
}

// Delete removes a message, from failed/ with its why-file.
func (c *Control) Delete(place spooldir.Place, name string) error {
	return c.end(c.Dir.Steering().DiscardAny(place, name), "")
}
