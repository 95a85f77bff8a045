package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func retryCommand() *command {
	var s selection
	var failed, realias bool
	c := &command{
		name:     "retry",
		operands: []string{"[DIR] NAME...", "[flags] -all [DIR]", "[flags] -failed [DIR]"},
		brief:    "try messages now; -failed: messages that were given up",
		about: `Tries messages now. The file of a waiting message is touched: the daemon notices that at once, or when
it starts, and tries all recipients that have not got it. A message that was given up moves from failed/ back into
the spool, and goes only to the recipients that had failed. -all without a filter makes the daemon try everything, and
resting relays, as flush does; without a daemon it touches all files. -realias first looks up the alias file again (the
key aliases): an alias takes the place of a recipient in localhost, in the domain or with the name of this host.`,
		flags:    config.NewFlagSet("retry"),
		messages: []string{"", "-failed"},
	}
	c.flags.AddSwitch(&failed, "failed", "all messages in failed/, or all of those that the next flags choose")
	c.flags.AddSwitch(&realias, "realias", "apply the aliases again, to recipients that have not got the message")
	s.addAll(c.flags)
	return c.onSpool(func(a *call) (err error) {
		var lookup func(addr string) ([]string, error)
		if realias && a.queue != nil {
			return usageErr("-realias is for a spool: a fleet has no aliases")
		}
		if realias {
			if lookup, err = aliasLookup(a); err != nil {
				return err
			}
		}
		switch {
		case failed:
			s.all = s.all || len(a.operands) == 0
			return a.retry(&s, []spooldir.Place{spooldir.Failed}, lookup)
		case s.all && !realias && s.filter.Empty() && len(a.operands) == 0:
			return a.flush(true)
		case s.all:
			return a.retry(&s, []spooldir.Place{spooldir.Spool}, lookup)
		}
		return a.retry(&s, []spooldir.Place{spooldir.Spool, spooldir.Failed}, lookup)
	})
}

// retry has the chosen messages tried, with aliases put in place by lookup; nil: recipients stay.
func (c *call) retry(s *selection, places []spooldir.Place, lookup func(addr string) ([]string, error)) error {
	targets, err := c.choose(s, places)
	if err != nil {
		return err
	}
	if s.all {
		targets = withoutBusy(c, targets)
	}
	back := false
	tried := c.actOnEach("to be tried again:", targets, func(t target) error {
		fromFailed, err := tryAgain(c, t, lookup)
		back = back || fromFailed
		return err
	})
	if back {
		err = c.syncPlaces()
	}
	if len(tried) > 0 && c.queue == nil {
		err = errors.Join(err, c.dir.Steering().Touched())
	}
	if err != nil {
		return err
	}
	c.printDone("to be tried again:", tried)
	if d := c.daemon(); !d.runs && d.err == nil && len(tried) > 0 {
		c.say("no %s runs on %s: the next one will try", c.runner(), c.path())
	}
	return nil
}

// withoutBusy removes the targets that are in a transaction, have a temporary name, or are no regular file.
func withoutBusy(c *call, targets []target) (rest []target) {
	for _, t := range targets {
		if t.state != mailq.Sending && !isTemporary(c, t) && (t.regular || t.place == spooldir.Failed) {
			rest = append(rest, t)
		}
	}
	return rest
}

// isTemporary reports whether a touch puts t off for an hour.
func isTemporary(c *call, t target) bool {
	return c.queue == nil && t.place == spooldir.Spool && spooldir.IsTemporary(t.name, c.view.Temporary)
}

func flushCommand() *command {
	c := &command{
		name:     "flush",
		operands: []string{"[DIR]"},
		brief:    "make the daemon try everything now",
		about: `Makes the daemon scan the spool and try all waiting messages now, and resting relays. It ends a pause.
kill -URG does the
same. The command does not wait for the outcome: see spoolgore list. The exit code is 75 if no daemon runs. If the
daemon
is in another container, where no signal reaches it, the command touches all files instead.`,
		flags: config.NewFlagSet("flush"),
	}
	return c.onSpool(func(a *call) error {
		if err := a.noOperands(); err != nil {
			return err
		}
		return a.flush(false)
	})
}

// Reasons why the daemon was not signalled.
var (
	errNoDaemon = errors.New("no daemon runs")
	errNoSignal = errors.New("no signal reaches the daemon")
)

// flush makes the daemon try everything, by a signal or else by touching all files. Without a daemon it touches the
// files if always is set, else it fails.
func (c *call) flush(always bool) error {
	if c.queue != nil {
		return flushQueue(c)
	}
	err := c.signal()
	switch {
	case errors.Is(err, errNoSignal), errors.Is(err, errNoDaemon) && always:
		return c.retry(&selection{all: true}, []spooldir.Place{spooldir.Spool}, nil)
	case errors.Is(err, errNoDaemon):
		return exitErr{ExitTempFail, fmt.Sprintf("no daemon runs on %s: nothing is tried", c.dir.Path())}
	}
	return err
}

// signal sends the daemon the signal to try everything.
func (c *call) signal() error {
	d := c.daemon()
	switch {
	case errors.Is(d.err, fs.ErrPermission):
		return fmt.Errorf("only the user of the daemon, and root, may signal it: %w", d.err)
	case d.err != nil:
		return d.err
	case !d.runs:
		return errNoDaemon
	case d.pid == 0:
		return errNoSignal
	}
	if err := wake(d.pid); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "told the daemon (process %d) to try everything now\n", d.pid)
	if d.state.Paused {
		c.say("the pause of the daemon is over; edits of the status file in the pause are lost")
	}
	return nil
}
