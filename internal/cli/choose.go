package cli

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/progress"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// chosen says by flags which messages are meant.
type chosen struct {
	all    bool
	filter mailq.Filter
}

// bind binds the flags of a filter.
func (o *chosen) bind(fs *flag.FlagSet) {
	fs.Func("state", "", func(text string) (err error) {
		o.filter.States, err = mailq.ParseStates(text)
		return err
	})
	fs.Var((*age)(&o.filter.Older), "older", "")
	fs.Var((*age)(&o.filter.Younger), "younger", "")
	fs.Func("from", "", pattern(&o.filter.From))
	fs.Func("to", "", pattern(&o.filter.To))
	fs.StringVar(&o.filter.Reason, "reason", "", "")
}

// pattern reads one; an empty one, of an unset variable, must not choose all.
func pattern(p *mailq.Pattern) func(string) error {
	return func(text string) error {
		if text == "" {
			return errors.New("it is empty; the null sender is <>")
		}
		*p = mailq.Pattern(text)
		return nil
	}
}

// bindAll binds the flags of a filter and -all.
func (o *chosen) bindAll(fs *flag.FlagSet) {
	o.bind(fs)
	fs.BoolVar(&o.all, "all", false, "")
}

// A target is a message to do something to.
type target struct {
	place   spooldir.Place
	name    string
	id      spooldir.ID
	state   mailq.State
	regular bool
	summary string // of whom it is from and to; only where it is asked for
}

func (t target) String() string { return placed(t.place, t.name) }

// choose returns the messages that are meant, in one of the places: those that the operands name or, with -all, those that
// the filter lets through. It complains of names that are not there. Summaries are made for the first few.
func (c *call) choose(o *chosen, places []spooldir.Place) ([]target, error) {
	switch {
	case len(c.operands) > 0 && (o.all || !o.filter.Empty()):
		return nil, usageErr("give either names, or -all with what they have in common")
	case len(c.operands) == 0 && !o.all && !o.filter.Empty():
		return nil, usageErr("add -all to mean all messages of that kind")
	case len(c.operands) == 0 && !o.all:
		return nil, usageErr("which messages? give their names (see spoolgore list), or -all")
	}
	if err := c.checkSpool(); err != nil {
		return nil, err
	}
	var targets []target
	if len(c.operands) > 0 {
		for _, operand := range c.operands {
			e, err := c.find(operand, places)
			if err != nil {
				c.complain("%v", err)
			} else {
				targets = append(targets, c.target(e, len(targets)))
			}
		}
		return targets, nil
	}
	bar := progress.New(c.stderr, "looking", 0)
	defer bar.Done()
	err := c.view.Each(places, func(e *mailq.Entry) error {
		bar.Add(1)
		if e.Place != spooldir.Failed && c.view.IsStatus(e) {
			bar.Clear()
			c.complain("%s is left alone: it looks like the status file of the daemon; name it with -statusfile", placed(e.Place, e.Name))
			return nil
		}
		if o.filter.Headers() {
			c.view.ReadHeader(e)
		}
		if o.filter.Match(e, c.now) {
			targets = append(targets, c.target(e, len(targets)))
		}
		return nil
	})
	bar.Done()
	if err == nil && !o.filter.Empty() && places[0] != spooldir.Failed {
		err = c.checkStatus() // by what else could be chosen?
	}
	if err != nil {
		return nil, err
	}
	c.reviewStatus()
	return targets, nil
}

// shownTargets is how many messages are shown before something is done to them.
const shownTargets = 10

func (c *call) target(e *mailq.Entry, n int) target {
	t := target{place: e.Place, name: e.Name, id: spooldir.IDOf(e.Info), state: e.State, regular: e.Info.Mode().IsRegular()}
	if n < shownTargets {
		c.view.ReadHeader(e)
		t.summary = fmt.Sprintf("%s, %s, %s old, from %s to %s", e.State, console.Size(e.Size),
			console.Span(c.now.Sub(e.Since())), sender(e), shortList(toWhom(e)))
	}
	return t
}

// find returns the message that a person calls name: by its name, its path, its name as list shows it, in one of the places.
func (c *call) find(name string, places []spooldir.Place) (*mailq.Entry, error) {
	place, base, err := c.split(name)
	if err != nil {
		return nil, err
	}
	if place != nil {
		if !slices.Contains(places, *place) {
			return nil, fmt.Errorf("%s: %s cannot be asked of a message in %s", name, c.name, placeName(*place))
		}
		places = []spooldir.Place{*place}
	}
	var found []*mailq.Entry
	for _, p := range places {
		e, err := c.view.Find(p, base)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			found = append(found, e)
		}
	}
	if len(found) == 0 && strings.ContainsAny(base, `…\`) {
		if found, err = c.findShown(base, places); err != nil {
			return nil, err
		}
	}
	switch len(found) {
	case 0:
		return nil, c.notFound(name, base, places)
	case 1:
		return found[0], nil
	}
	var names []string
	for _, e := range found {
		names = append(names, placed(e.Place, e.Name))
	}
	return nil, fmt.Errorf("%s may be any of %s: name one", name, strings.Join(names, ", "))
}

// split tells the place from a path; a plain name has none.
func (c *call) split(name string) (place *spooldir.Place, base string, err error) {
	base = filepath.Base(name)
	if base == name {
		return nil, name, nil
	}
	for _, path := range []string{c.dir.File(name), name} { // failed/x is meant within the spool, whatever directory we are in
		parent, err := os.Stat(filepath.Dir(path))
		if err != nil || filepath.IsAbs(name) && path != name {
			continue
		}
		for _, p := range []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed} {
			if dir, err := os.Stat(c.dir.File(string(p))); err == nil && os.SameFile(dir, parent) {
				return &p, base, nil
			}
		}
	}
	return nil, "", fmt.Errorf("%s is not in the spool %s", name, c.dir.Path())
}

// findShown looks for names that list shows as shown: shortened, or with what is no text escaped.
func (c *call) findShown(shown string, places []spooldir.Place) (found []*mailq.Entry, err error) {
	first, last, short := strings.Cut(shown, "…")
	for _, p := range places {
		names, err := c.dir.Names(p)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			text := console.Escape(name)
			if text == shown || short && len(text) > len(first)+len(last) && strings.HasPrefix(text, first) && strings.HasSuffix(text, last) {
				if e, err := c.view.Find(p, name); err == nil {
					found = append(found, e)
				}
			}
		}
	}
	return found, nil
}

// notFound says where a message is, if it is anywhere.
func (c *call) notFound(name, base string, looked []spooldir.Place) error {
	for _, p := range []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed} {
		if slices.Contains(looked, p) {
			continue
		}
		switch _, err := c.view.Find(p, base); {
		case err != nil:
		case base == name:
			return fmt.Errorf("%s is in %s, where %s does nothing", name, placeName(p), c.name)
		default: // the name says where, and it is not there
			return fmt.Errorf("%s: no message of that name; there is one in %s", name, placeName(p))
		}
	}
	return fmt.Errorf("%s: no message of that name; it may have been delivered (see spoolgore list)", name)
}

// sender is the sender of e, fit to be shown.
func sender(e *mailq.Entry) string {
	switch {
	case !e.HasSender():
		return "-"
	case e.From == "":
		return "<>"
	}
	return console.Escape(e.From)
}

// toWhom are the recipients of e who have not got it, fit to be shown.
func toWhom(e *mailq.Entry) (all []string) {
	e.Recipients(func(r *record.Recipient) {
		if !r.Accepted() {
			all = append(all, console.Escape(r.Address))
		}
	})
	return all
}

// shortList names the first of all, and how many more there are.
func shortList(all []string) string {
	switch len(all) {
	case 0:
		return "-"
	case 1:
		return all[0]
	}
	return fmt.Sprintf("%s +%d", all[0], len(all)-1)
}

// ago is how long ago t was, if it was.
func ago(now, t time.Time) time.Duration { return max(0, now.Sub(t)) }
