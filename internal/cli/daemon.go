package cli

import (
	"errors"
	"io/fs"

	"github.com/unbit/spoolgore/internal/daemonstate"
)

// daemonInfo is what a command knows of the daemon of a spool.
type daemonInfo struct {
	runs  bool
	pid   int // zero: no daemon runs, or it is in another container
	state daemonstate.State
	known bool  // state is set
	err   error // why runs is unknown
}

// daemon looks for the daemon of the spool.
func (c *spool) daemon() (d daemonInfo) {
	if c.queue != nil {
		state, runs := c.queue.State()
		return daemonInfo{runs: runs, state: state, known: runs}
	}
	state, known := c.daemonState()
	fresh := known && !state.Silent(c.now)
	pid, err := c.dir.Lock().Holder()
	switch {
	case err != nil && errors.Is(err, fs.ErrPermission) && fresh:
		d.runs = true // the caller may not read the lock
	case err != nil:
		d.err = err
	case pid != 0:
		d.runs, d.pid = true, pid
	case fresh:
		d.runs, d.err = c.dir.Lock().Held()
	}
	if d.runs && known && (d.pid == 0 || d.pid == state.PID) { // else it is the state of an earlier daemon
		d.state, d.known = state, true
	}
	return d
}

// daemonState returns the state that a daemon, perhaps an earlier one, has written.
func (c *spool) daemonState() (s daemonstate.State, ok bool) {
	fi, err := c.dir.FS().Lstat(c.dir.File(daemonstate.Name))
	if err != nil || !fi.Mode().IsRegular() {
		return s, false
	}
	if s, ok, err = daemonstate.Read(c.dir.Path()); err != nil {
		c.say("the state of the daemon cannot be read: %v", err)
	}
	return s, ok && err == nil
}
