package cli

import (
	"bufio"
	"flag"
	"fmt"
	"strings"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const deleteHelp = `usage: spoolgore delete [-y] DIR NAME...
       spoolgore delete [-y] [flags] -all DIR

Deletes messages in the spool and in hold/, for good: nobody gets them, and nobody is told. A message of failed/
is named failed/NAME; what says why goes with it. On a terminal it asks first. A transaction that is in flight
goes on.

  -y                 do not ask; anywhere but on a terminal nothing is deleted without it
  -failed            in failed/, and there only
` + filterHelp

func runDelete(p *Program, args []string) int {
	var o chosen
	var yes, failed bool
	return onSpool(p, "delete", deleteHelp, args, func(fs *flag.FlagSet) {
		o.bindAll(fs)
		fs.BoolVar(&yes, "y", false, "")
		fs.BoolVar(&failed, "failed", false, "")
	}, func(c *call) error {
		places := []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}
		switch {
		case failed:
			places = places[2:]
		case o.all:
			places = places[:2] // all of failed/ only if that was said
		}
		return c.delete(&o, places, yes)
	})
}

func (c *call) delete(o *chosen, places []spooldir.Place, yes bool) error {
	asks := console.IsTerminal(c.stdin) && console.IsTerminal(c.stderr)
	if !yes && !asks {
		return usageErr("nothing is deleted without -y where nobody can be asked")
	}
	for _, name := range c.operands {
		if yes && strings.Contains(name, "…") {
			return usageErr(fmt.Sprintf("%s is a shortened name: with -y give the whole one", name))
		}
	}
	targets, err := c.choose(o, places)
	if err != nil {
		return err
	}
	if !yes && len(targets) > 0 && !c.confirm(targets) {
		return exitErr{ExitNotDone, "nothing was deleted"}
	}
	deleted := c.doAll("deleted", targets, func(t target) error { return c.dir.Steering().Discard(t.place, t.name, t.id) })
	if err := c.dir.SyncPlaces(); err != nil {
		return err
	}
	c.tellDone("deleted", deleted)
	if flying := sendingOf(deleted); flying > 0 {
		c.say("%s being sent at this moment, and may have gone out", console.Count(flying, "message"))
	}
	return nil
}

// confirm asks on the terminal. Anything but a yes is a no.
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
