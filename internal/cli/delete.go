package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func deleteCommand() *command {
	var s selection
	var yes, failed bool
	c := &command{
		name:     "delete",
		operands: []string{"[flags] [DIR] NAME...", "[flags] -all [DIR]"},
		brief:    "delete messages; asks first",
		about: `Deletes messages in the spool and in hold/, for good, without a report to the sender. A message in
failed/ is named
failed/NAME; the file with its reason is deleted, too. On a terminal the command asks first. A transaction in flight
goes on.`,
		flags:    config.NewFlagSet("delete"),
		messages: []string{"", "-failed"},
	}
	c.flags.AddSwitch(&yes, "y", "do not ask; without a terminal nothing is deleted unless -y is given")
	c.flags.AddSwitch(&failed, "failed", "in failed/ only")
	s.addAll(c.flags)
	return c.onSpool(func(a *call) error {
		places := allPlaces()
		switch {
		case failed:
			places = []spooldir.Place{spooldir.Failed}
		case s.all:
			places = []spooldir.Place{spooldir.Spool, spooldir.Hold}
		}
		return a.delete(&s, places, yes)
	})
}

func (c *call) delete(s *selection, places []spooldir.Place, yes bool) error {
	if !yes && (!console.IsTerminal(c.stdin) || !console.IsTerminal(c.stderr)) {
		return usageErr("without a terminal nothing is deleted unless -y is given")
	}
	for _, name := range c.operands {
		if yes && strings.Contains(name, "…") {
			return usageErr(fmt.Sprintf("%s is a shortened name: with -y give the whole one", name))
		}
	}
	targets, err := c.choose(s, places)
	if err != nil {
		return err
	}
	if !yes && len(targets) > 0 && !c.confirm(targets) {
		return exitErr{ExitNotDone, "nothing was deleted"}
	}
	deleted := c.actOnEach("deleted", targets, func(t target) error {
		if c.queue != nil {
			return c.queue.Delete(t.name)
		}
		return c.dir.Steering().Discard(t.place, t.name, t.id)
	})
	if err := c.syncPlaces(); err != nil {
		return err
	}
	c.printDone("deleted", deleted)
	c.reportSending(deleted)
	return nil
}

// confirm asks on the terminal. Any answer but y and yes is a no.
func (c *call) confirm(targets []target) bool {
	c.out.Flush()
	for i, t := range targets {
		if i == shownTargets {
			fmt.Fprintf(c.stderr, "  and %d more\n", len(targets)-i)
			break
		}
		fmt.Fprintf(c.stderr, "  %s (%s)\n", t, t.summary)
	}
	fmt.Fprintf(c.stderr, "Delete %s for good? [y/N] ", console.Count(len(targets), "message"))
	answer, _ := bufio.NewReader(c.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
