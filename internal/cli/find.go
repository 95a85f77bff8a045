package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// allPlaces are the places of messages.
func allPlaces() []spooldir.Place {
	return []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}
}

// A finder finds messages by the names that people type.
type finder struct {
	view    *mailq.View
	command string // for errors
}

// find returns the message in one of the places by its name, its path, or its name as list shows it.
func (f finder) find(name string, places []spooldir.Place) (*mailq.Entry, error) {
	place, base, err := f.split(name)
	if err != nil {
		return nil, err
	}
	if place != nil {
		if !slices.Contains(places, *place) {
			return nil, fmt.Errorf("%s: %s does nothing to a message in %s", name, f.command, placeName(*place))
		}
		places = []spooldir.Place{*place}
	}
	var found []*mailq.Entry
	for _, p := range places {
		e, err := f.view.Find(p, base)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			found = append(found, e)
		}
	}
	if len(found) == 0 && strings.ContainsAny(base, `…\`) {
		if found, err = f.findShown(base, places); err != nil {
			return nil, err
		}
	}
	switch len(found) {
	case 0:
		return nil, f.notFound(name, base, places)
	case 1:
		return found[0], nil
	}
	var names []string
	for _, e := range found {
		names = append(names, placed(e.Place, e.Name))
	}
	return nil, fmt.Errorf("%s may be any of %s: name one", name, strings.Join(names, ", "))
}

// keepRecords reads the status file once for all operands, until forget is called. Of names as list shows them the
// files are not known yet.
func keepRecords(c *call) (forget func()) {
	names := make(map[string]bool)
	for _, operand := range c.operands {
		if c.queue != nil || len(c.operands) == 1 || strings.ContainsAny(operand, `…\`) {
			return func() {}
		}
		names[filepath.Base(operand)] = true
	}
	_ = mailq.Keep(c.view, names) // after an error the file is read for each operand
	return func() { c.view.Live = nil }
}

// findMessage is finder.find for the spool or the queue of a call.
func findMessage(c *call, name string, places []spooldir.Place) (*mailq.Entry, error) {
	if c.queue != nil {
		return findQueued(c, name, places)
	}
	return finder{c.view, c.name}.find(name, places)
}

// split returns the place and the base name of a path. place is nil if name has no directory.
func (f finder) split(name string) (place *spooldir.Place, base string, err error) {
	base = filepath.Base(name)
	if base == name {
		return nil, name, nil
	}
	dir := f.view.Dir
	for _, path := range []string{dir.File(name), name} { // failed/x is a path in the spool, in any working directory
		parent, err := os.Stat(filepath.Dir(path))
		if err != nil || filepath.IsAbs(name) && path != name {
			continue
		}
		for _, p := range allPlaces() {
			if fi, err := os.Stat(dir.File(string(p))); err == nil && os.SameFile(fi, parent) {
				return &p, base, nil
			}
		}
	}
	return nil, "", fmt.Errorf("%s is not in the spool %s", name, dir.Path())
}

// findShown returns the messages that list shows as shown: with a shortened name, or with escaped characters.
func (f finder) findShown(shown string, places []spooldir.Place) (found []*mailq.Entry, err error) {
	first, last, short := strings.Cut(shown, "…")
	for _, p := range places {
		names, err := f.view.Dir.Names(p)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			text := console.Escape(name)
			shortened := short && len(text) > len(first)+len(last) && strings.HasPrefix(text, first) &&
				strings.HasSuffix(text, last)
			if text != shown && !shortened {
				continue
			}
			if e, err := f.view.Find(p, name); err == nil {
				found = append(found, e)
			}
		}
	}
	return found, nil
}

// notFound returns the error for a name without a message in the places.
func (f finder) notFound(name, base string, places []spooldir.Place) error {
	for _, p := range allPlaces() {
		if slices.Contains(places, p) {
			continue
		}
		switch _, err := f.view.Find(p, base); {
		case err != nil:
		case base == name:
			return fmt.Errorf("%s is in %s, where %s does nothing", name, placeName(p), f.command)
		default:
			return fmt.Errorf("%s: no message of that name; there is one in %s", name, placeName(p))
		}
	}
	return fmt.Errorf("%s: no message of that name; it may have been delivered (see spoolgore list)", name)
}

// placeName returns the name of a place for people.
func placeName(p spooldir.Place) string {
	if p == spooldir.Spool {
		return "the spool"
	}
	return string(p) + "/"
}

// placed returns the escaped name of a message, with its place if that is not the spool itself.
func placed(p spooldir.Place, name string) string {
	return console.Escape(filepath.Join(string(p), name))
}

// sender returns the sender of e, escaped.
func sender(e *mailq.Entry) string {
	switch {
	case !e.HasSender():
		return "-"
	case e.From == "":
		return "<>"
	}
	return console.Escape(e.From)
}

// waitingRecipients returns the recipients that have not accepted e, escaped.
func waitingRecipients(e *mailq.Entry) (all []string) {
	e.Recipients(func(r *record.Recipient) {
		if !r.Accepted() {
			all = append(all, console.Escape(r.Address))
		}
	})
	return all
}

// shortList returns the first of all, and the number of the others.
func shortList(all []string) string {
	switch len(all) {
	case 0:
		return "-"
	case 1:
		return all[0]
	}
	return fmt.Sprintf("%s +%d", all[0], len(all)-1)
}
