package cli

import (
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func holdCommand() *command {
	var s selection
	c := &command{
		name:     "hold",
		operands: []string{"[DIR] NAME...", "[flags] -all [DIR]"},
		brief:    "move messages to hold/, from where they are not sent",
		about: `Holds messages: they are not sent until they are released, and do not grow older. Their files move to
hold/, with or
without a running daemon. A transaction in flight goes on.`,
		flags:    config.NewFlagSet("hold"),
		messages: []string{"-state new,waiting,sending,deferred,scheduled,unusable"},
	}
	s.addAll(c.flags)
	return c.onSpool(func(a *call) error { return a.move(&s, "held", spooldir.Spool, spooldir.Hold) })
}

func releaseCommand() *command {
	var s selection
	c := &command{
		name:     "release",
		operands: []string{"[DIR] NAME...", "[flags] -all [DIR]"},
		brief:    "move messages from hold/ back into the spool",
		about: `Releases held messages: each is tried at the time of its next attempt. Their files move from hold/ back
into the
spool, with or without a running daemon.`,
		flags:    config.NewFlagSet("release"),
		messages: []string{"-state held"},
	}
	s.addAll(c.flags)
	return c.onSpool(func(a *call) error { return a.move(&s, "released", spooldir.Hold, spooldir.Spool) })
}

// move moves the chosen messages between two places and prints how many.
func (c *call) move(s *selection, done string, from, to spooldir.Place) error {
	targets, err := c.choose(s, []spooldir.Place{from})
	if err != nil {
		return err
	}
	moved := c.actOnEach(done, targets, func(t target) error {
		switch {
		case c.queue == nil:
			return c.dir.Steering().Shift(t.name, t.place, to)
		case to == spooldir.Hold:
			return c.queue.Hold(t.name)
		}
		return c.queue.Release(t.name)
	})
	if err := c.syncPlaces(); err != nil {
		return err
	}
	c.printDone(done, moved)
	if to == spooldir.Hold {
		c.reportSending(moved)
	}
	return nil
}
