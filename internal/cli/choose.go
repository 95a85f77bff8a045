package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/progress"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A selection chooses messages by flags.
type selection struct {
	all    bool
	filter mailq.Filter
}

// addFilter adds the flags of the filter.
func (s *selection) addFilter(fs *config.FlagSet) {
	fs.AddFunc(func(text string) (err error) {
		s.filter.States, err = mailq.ParseStates(text)
		return err
	}, "state", "LIST", "in these states only, separated by commas (see spoolgore help list)")
	fs.Add((*age)(&s.filter.Older), "older", "AGE", "at least so old, as 15m, 2h or 3d")
	fs.Add((*age)(&s.filter.Younger), "younger", "AGE", "younger than that")
	fs.AddFunc(setPattern(&s.filter.From), "from", "PATTERN",
		"from this sender: ann@example.com, @example.com, *@*.example.com, or <> for the null sender")
	fs.AddFunc(setPattern(&s.filter.To), "to", "PATTERN", "to such a recipient, who has not got it")
	fs.AddString(&s.filter.Reason, "reason", "TEXT", "with this in the reason")
}

// addAll adds -all and the flags of the filter.
func (s *selection) addAll(fs *config.FlagSet) {
	fs.AddSwitch(&s.all, "all", "all messages there, or all of those that the next flags choose")
	s.addFilter(fs)
}

// setPattern returns a function for a flag. An empty pattern, of an unset variable, must not choose all messages.
func setPattern(p *mailq.Pattern) func(string) error {
	return func(text string) error {
		if text == "" {
			return errors.New("address is empty; the null sender is <>")
		}
		*p = mailq.Pattern(text)
		return nil
	}
}

// age is a config.Span with an error text of its own.
type age time.Duration

// String implements flag.Value.
func (a *age) String() string { return time.Duration(*a).String() }

// Set implements flag.Value.
func (a *age) Set(text string) error {
	if (*config.Span)(a).Set(text) != nil {
		return errors.New("want a time of more than zero, such as 30 (seconds), 15m, 2h or 3d")
	}
	return nil
}

// A target is a message for a command to act on.
type target struct {
	place   spooldir.Place
	name    string
	id      spooldir.ID
	state   mailq.State
	regular bool
	summary string // state, size, age, sender and recipients; only of the first few targets
}

func (t target) String() string { return placed(t.place, t.name) }

// shownTargets is the number of messages shown in a question.
const shownTargets = 10

// choose returns the chosen messages in the places: the named ones or, with -all, those of the filter. It complains
// about names without a message.
func (c *call) choose(s *selection, places []spooldir.Place) ([]target, error) {
	switch {
	case len(c.operands) > 0 && (s.all || !s.filter.Empty()):
		return nil, usageErr("give either names, or -all with a filter")
	case len(c.operands) == 0 && !s.all && !s.filter.Empty():
		return nil, usageErr("add -all to mean all messages of that kind")
	case len(c.operands) == 0 && !s.all:
		return nil, usageErr("which messages? give their names (see spoolgore list), or -all")
	}
	if err := c.checkSpool(); err != nil {
		return nil, err
	}
	if len(c.operands) > 0 {
		return c.chooseNamed(places)
	}
	return c.chooseAll(s, places)
}

// chooseNamed returns the named messages. If the spool is the configured one, an unknown name may be a mistyped
// directory, and the command does nothing.
func (c *call) chooseNamed(places []spooldir.Place) (targets []target, err error) {
	defer keepRecords(c)() // what acts on the messages reads the file again
	for _, operand := range c.operands {
		e, err := findMessage(c, operand, places)
		if err != nil {
			c.complain("%v", err)
			continue
		}
		targets = append(targets, c.target(e, len(targets)))
	}
	if c.origin != "" && len(targets) < len(c.operands) {
		return nil, exitErr{ExitNotDone, fmt.Sprintf("nothing was done in %s, the spool of %s", c.dir.Path(), c.origin)}
	}
	return targets, nil
}

// chooseAll returns the messages that the filter matches.
func (c *call) chooseAll(s *selection, places []spooldir.Place) (targets []target, err error) {
	bar := progress.New(c.stderr, "looking", 0)
	defer bar.Done()
	err = c.source.Each(places, func(e *mailq.Entry) error {
		bar.Add(1)
		if c.queue == nil && e.Place != spooldir.Failed && c.view.IsStatus(e) {
			bar.Clear()
			c.complain("%s is left alone: it looks like the status file of the daemon; name it with -statusfile",
				placed(e.Place, e.Name))
			return nil
		}
		if s.filter.Headers() {
			c.source.ReadHeader(e)
		}
		if s.filter.Match(e, c.now) {
			targets = append(targets, c.target(e, len(targets)))
		}
		return nil
	})
	bar.Done()
	if err == nil && !s.filter.Empty() && places[0] != spooldir.Failed {
		err = c.checkStatus()
	}
	if err != nil {
		return nil, err
	}
	c.reportStatus()
	return targets, nil
}

// target returns e as the n-th target.
func (c *call) target(e *mailq.Entry, n int) target {
	t := target{place: e.Place, name: e.Name, state: e.State, regular: true}
	if e.Info != nil {
		t.id, t.regular = spooldir.IDOf(e.Info), e.Info.Mode().IsRegular()
	}
	if n < shownTargets {
		c.source.ReadHeader(e)
		t.summary = fmt.Sprintf("%s, %s, %s old, from %s to %s", e.State, console.Size(e.Size),
			console.Span(c.now.Sub(e.Since())), sender(e), shortList(waitingRecipients(e)))
	}
	return t
}

// actOnEach calls act for each target and returns the successful ones. It complains about the others, except for
// vanished messages without an operand: mail is delivered all the time.
func (c *call) actOnEach(what string, targets []target, act func(target) error) (done []target) {
	bar := progress.New(c.stderr, what, int64(len(targets)))
	defer bar.Done()
	for _, t := range targets {
		err := act(t)
		switch {
		case err == nil:
			done = append(done, t)
		case errors.Is(err, fs.ErrNotExist) && len(c.operands) == 0:
		default:
			bar.Clear()
			c.complain("%s: %s", t, explainError(err))
		}
		bar.Add(1)
	}
	return done
}

// explainError returns the text for an error with a file of the spool.
func explainError(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it is gone: delivered, given up, or moved (see spoolgore list)"
	case errors.Is(err, fs.ErrExist):
		return "another file of that name is there, and is not overwritten: compare the two, then move one of them"
	case errors.Is(err, spooldir.ErrChanged):
		return "it has changed since the command began, and was left alone: try again"
	case errors.Is(err, spooldir.ErrLinked):
		return "it has a second name (hard link), made by the daemon, which is about to move it, or by hand; try " +
			"again in a moment"
	case errors.Is(err, spooldir.ErrNotRegular):
		return "it is not a regular file"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied: become the user of the daemon, or root"
	}
	return err.Error()
}

// printDone prints how many targets the command has acted on, or the name of the only one.
func (c *call) printDone(done string, targets []target) {
	what := console.Count(len(targets), "message")
	if len(targets) == 1 {
		what = targets[0].String()
	}
	fmt.Fprintln(c.out, done, what)
}

// reportSending prints how many of the targets were in a transaction when they were read.
func (c *call) reportSending(targets []target) {
	n := 0
	for _, t := range targets {
		if t.state == mailq.Sending {
			n++
		}
	}
	if n > 0 {
		c.say("%s being sent at this moment, and may have gone out", console.Count(n, "message"))
	}
}
