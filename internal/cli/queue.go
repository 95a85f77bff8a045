package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/sentlog"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A Queue is what commands work on in place of the directory of a spool: the queue of a fleet. Held messages are in
// spooldir.Hold, failed ones in spooldir.Failed. Acts return fs.ErrNotExist if there is no such message any more.
type Queue interface {
	mailq.Source

	// Open opens the content of e.
	Open(e *mailq.Entry) (Content, error)
	// Path names the queue for people.
	Path() string
	// State returns the state of all workers together. ok is false if none runs.
	State() (s daemonstate.State, ok bool)
	// CountFailed returns the number of failed messages.
	CountFailed() int
	// Spent returns the count of the rate limits, as ratelimit stores the count.
	Spent() []byte
	// Outcomes calls each for the remembered outcomes, oldest first.
	Outcomes(query string, each func(*sentlog.Entry) error) error
	// About calls each for the messages that query may mean, with their headers.
	About(query string, each func(*mailq.Entry) error) error

	Hold(name string) error
	Release(name string) error
	Delete(name string) error
	Retry(name string) error
	Readdress(name string, instead func(addr string) ([]string, error)) error
	// Flush has all waiting messages tried now, and resting accounts. It returns the number of messages.
	Flush() (int64, error)
}

// Content is the content of a message.
type Content interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// openContent opens the content of e.
func (c *spool) openContent(e *mailq.Entry) (Content, error) {
	if c.queue != nil {
		return c.queue.Open(e)
	}
	return spooldir.OpenReadOn(c.dir.FS(), c.dir.At(e.Place, e.Name))
}

// queueCommands are the commands that work on a Queue.
var queueCommands = []string{
	"list", "show", "hold", "release", "delete", "retry", "redirect", "flush", "trace", "stats",
}

// QueueCommands returns the commands that work on a Queue, with their briefs.
func QueueCommands() (all [][2]string) {
	for _, name := range queueCommands {
		brief := find(name).brief
		switch name {
		case "flush":
			brief = "make the workers try everything now"
		case "show":
			brief = "show what is known of a message, and its header; -raw: the content"
		case "hold":
			brief = "hold messages: they are not sent"
		case "release":
			brief = "release held messages"
		}
		all = append(all, [2]string{name, brief})
	}
	return all
}

// RunOnQueue runs a command on p.Queue. ok is false if no command on a queue has the name that args begin with.
func (p *Program) RunOnQueue(args []string) (code int, ok bool) {
	for _, name := range queueCommands {
		if len(args) > 0 && args[0] == name {
			return find(name).run(p, args[1:]), true
		}
	}
	return 0, false
}

// openQueue makes q what the call works on.
func openQueue(c *call, q Queue, operands []string, f *spoolFlags) error {
	if f.config != "" {
		return usageErr("-config is for a spool: a fleet is in a database")
	}
	c.queue, c.source, c.operands = q, q, operands
	return nil
}

// path returns the path of the spool, or the name of the queue.
func (c *spool) path() string {
	if c.queue != nil {
		return c.queue.Path()
	}
	return c.dir.Path()
}

// runner returns what sends the mail.
func (c *spool) runner() string {
	if c.queue != nil {
		return "worker"
	}
	return "daemon"
}

// placeName returns the name of a place of the spool or the queue for people.
func (c *spool) placeName(p spooldir.Place) string {
	if c.queue != nil && p == spooldir.Spool {
		return "the queue"
	}
	return placeName(p)
}

// syncPlaces makes moves of files durable.
func (c *spool) syncPlaces() error {
	if c.queue != nil {
		return nil
	}
	return c.dir.SyncPlaces()
}

// flushQueue has everything tried.
func flushQueue(c *call) error {
	n, err := c.queue.Flush()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "told the workers to try everything now, %d of it deferred\n", n)
	if s, ok := c.queue.State(); !ok {
		c.say("no worker runs on %s: the next one will try", c.path())
	} else if s.Paused {
		c.say("the fleet is paused: resume ends the pause")
	}
	return nil
}

// findQueued returns the message of a queue in one of the places. The name may begin with the place, as list shows.
func findQueued(c *call, name string, places []spooldir.Place) (*mailq.Entry, error) {
	base := name
	for _, p := range []spooldir.Place{spooldir.Hold, spooldir.Failed} {
		if rest, ok := strings.CutPrefix(name, string(p)+"/"); ok {
			base = rest
		}
	}
	for _, p := range allPlaces() {
		e, err := c.queue.Find(p, base)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		for _, wanted := range places {
			if p == wanted {
				return e, nil
			}
		}
		return nil, fmt.Errorf("%s is in %s, where %s does nothing", name, c.placeName(p), c.name)
	}
	return nil, fmt.Errorf("%s: no message of that name; it may have been delivered (see %s list)", name, c.program)
}
