package cli

import (
	"errors"
	"io"
	"io/fs"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/progress"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// filterHelp is what the commands that take -all say of their filters.
const filterHelp = `
  -all               all messages there, or of those all that the next ones let through
  -state LIST        in these states, separated by commas (see spoolgore help list)
  -older AGE         at least so old, as 15m, 2h or 3d
  -younger AGE       younger than that
  -from PATTERN      from this sender: ann@example.com, @example.com, *@*.example.com, or <> for the null sender
  -to PATTERN        to such a recipient, who has not got it
  -reason TEXT       with this in the reason
  -statusfile PATH   the status file, if the daemon has another one (DIR/.spoolgore.js; $SPOOLGORE_JSON)
  -config FILE       the daemon's configuration: its dir is DIR, which is not named then, and its json the status file
`

const holdHelp = `usage: spoolgore hold DIR NAME...
       spoolgore hold [flags] -all DIR

Holds messages: they are not sent until they are released, and do not grow older. It moves their files to hold/,
with the daemon running or not. A transaction that is in flight goes on.
` + filterHelp

const releaseHelp = `usage: spoolgore release DIR NAME...
       spoolgore release [flags] -all DIR

Releases messages that are held: each is tried when its next attempt was due. It moves their files from hold/ back
into the spool, with the daemon running or not.
` + filterHelp

func runHold(p *Program, args []string) int {
	var o chosen
	return onSpool(p, "hold", holdHelp, args, o.bindAll, func(c *call) error {
		return c.shift(&o, "held", spooldir.Spool, spooldir.Hold)
	})
}

func runRelease(p *Program, args []string) int {
	var o chosen
	return onSpool(p, "release", releaseHelp, args, o.bindAll, func(c *call) error {
		return c.shift(&o, "released", spooldir.Hold, spooldir.Spool)
	})
}

// shift moves the chosen messages from one place to another, and says that they are done.
func (c *call) shift(o *chosen, done string, from, to spooldir.Place) error {
	targets, err := c.choose(o, []spooldir.Place{from})
	if err != nil {
		return err
	}
	moved := c.doAll(done, targets, func(t target) error { return c.dir.Steering().Shift(t.name, t.place, to) })
	if err := c.dir.SyncPlaces(); err != nil {
		return err
	}
	c.tellDone(done, moved)
	if flying := sendingOf(moved); flying > 0 && to == spooldir.Hold {
		c.say("%s being sent at this moment, and may have gone out", console.Count(flying, "message"))
	}
	return nil
}

// doAll does act to each target, and returns those it was done to. It complains of the others, but not of those that are
// gone when nobody has named them: mail is delivered all the time.
func (c *call) doAll(what string, targets []target, act func(target) error) (done []target) {
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
			c.complain("%s: %s", t, advice(err))
		}
		bar.Add(1)
	}
	return done
}

// advice is what a person should know of an error with a file.
func advice(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it is gone: delivered, given up, or moved meanwhile (see spoolgore list)"
	case errors.Is(err, fs.ErrExist):
		return "another file of that name is there already, and is not written over: see what it is, then move one of them"
	case errors.Is(err, spooldir.ErrChanged):
		return "it has changed since it was looked at, and was left alone: try again"
	case errors.Is(err, spooldir.ErrLinked):
		return "it has a second name (hard link): the daemon is about to move it, or somebody has linked it; try again in a moment"
	case errors.Is(err, spooldir.ErrNotRegular):
		return "it is not a regular file"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied: become the user who runs the daemon, or root"
	}
	return err.Error()
}

// tellDone says what was done to how many messages, or to which one.
func (c *call) tellDone(done string, to []target) {
	if len(to) == 1 {
		io.WriteString(c.out, done+" "+to[0].String()+"\n")
		return
	}
	io.WriteString(c.out, done+" "+console.Count(len(to), "message")+"\n")
}

// sendingOf counts those in a transaction, when they were last seen.
func sendingOf(targets []target) (n int) {
	for _, t := range targets {
		if t.state == mailq.Sending {
			n++
		}
	}
	return n
}
