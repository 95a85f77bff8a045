package cli

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"

	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const retryHelp = `usage: spoolgore retry DIR NAME...
       spoolgore retry [flags] -all DIR
       spoolgore retry [flags] -failed DIR

Tries messages now. Of one that waits the file is touched, which the daemon notices at once, or a later one when
it starts: whoever has not got it is tried. One that was given up moves from failed/ back into the spool, and goes
to those only who had failed. Without flags that choose, -all tells the daemon to try everything, relays at rest
included, as flush does; if none runs all files are touched.

  -failed            all in failed/, or of those all that the flags below let through
` + filterHelp

const flushHelp = `usage: spoolgore flush DIR

Tells the daemon to look at the spool and to try everything that waits, now, relays at rest included. It ends a
pause. It is what kill -URG does. Nothing waits for the outcome: see spoolgore list. The exit code is 75 if no
daemon runs.

  -config FILE       the daemon's configuration: its dir is DIR, which is not named then
`

func runRetry(p *Program, args []string) int {
	var o chosen
	var failed bool
	return onSpool(p, "retry", retryHelp, args, func(fs *flag.FlagSet) {
		o.bindAll(fs)
		fs.BoolVar(&failed, "failed", false, "")
	}, func(c *call) error {
		switch {
		case failed && len(c.operands) == 0:
			o.all = true
			return c.retry(&o, []spooldir.Place{spooldir.Failed})
		case failed:
			return c.retry(&o, []spooldir.Place{spooldir.Failed})
		case o.all && o.filter.Empty() && len(c.operands) == 0 && canWake:
			if err := c.flush(); !errors.Is(err, errNoDaemon) && !errors.Is(err, errElsewhere) {
				return err
			}
			return c.retry(&o, []spooldir.Place{spooldir.Spool})
		case o.all:
			return c.retry(&o, []spooldir.Place{spooldir.Spool})
		}
		return c.retry(&o, []spooldir.Place{spooldir.Spool, spooldir.Failed})
	})
}

// retry has the chosen messages tried.
func (c *call) retry(o *chosen, places []spooldir.Place) error {
	targets, err := c.choose(o, places)
	if err != nil {
		return err
	}
	if o.all {
		targets = retriable(targets)
	}
	back := false
	tried := c.doAll("to be tried again:", targets, func(t target) error {
		if t.place == spooldir.Failed {
			back = true
			return c.dir.Steering().Shift(t.name, spooldir.Failed, spooldir.Spool)
		}
		return c.dir.Steering().Touch(t.name)
	})
	if back {
		err = c.dir.SyncPlaces()
	}
	if len(tried) > 0 {
		err = errors.Join(err, c.dir.Steering().Touched())
	}
	if err != nil {
		return err
	}
	c.tellDone("to be tried again:", tried)
	if d := c.daemon(); !d.runs && d.err == nil && len(tried) > 0 {
		c.say("no daemon runs on %s: they are tried when one is started", c.dir.Path())
	}
	return nil
}

// retriable leaves out what is being sent, as it is being tried.
func retriable(targets []target) (rest []target) {
	for _, t := range targets {
		if t.state != mailq.Sending && (t.regular || t.place == spooldir.Failed) {
			rest = append(rest, t)
		}
	}
	return rest
}

func runFlush(p *Program, args []string) int {
	return onSpool(p, "flush", flushHelp, args, func(*flag.FlagSet) {}, func(c *call) error {
		if err := c.nothingElse(); err != nil {
			return err
		}
		err := c.flush()
		if errors.Is(err, errNoDaemon) {
			return exitErr{ExitTempFail, fmt.Sprintf("no daemon runs on %s, so nothing is tried: start one", c.dir.Path())}
		}
		return err
	})
}

// Why nobody was told.
var (
	errNoDaemon  = errors.New("no daemon runs")
	errElsewhere = errors.New("the daemon is in another container, where it cannot be told: spoolgore retry -all does it by the files")
)

// flush tells the daemon to try everything.
func (c *call) flush() error {
	d := c.daemon()
	switch {
	case errors.Is(d.err, fs.ErrPermission):
		return fmt.Errorf("only the user who runs the daemon, and root, may tell it: %w", d.err)
	case d.err != nil:
		return d.err
	case !d.runs:
		return errNoDaemon
	case d.pid == 0:
		return errElsewhere
	}
	if err := wake(d.pid); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "told the daemon (process %d) to try everything now\n", d.pid)
	if d.signs.Paused {
		c.say("the daemon was paused: that is over, and what was edited in the status file meanwhile is not taken over")
	}
	return nil
}
