package cli

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/unbit/spoolgore/internal/daemonstate"
)

// hangs is how old the signs of life of a daemon may be, which writes them at least once a minute.
const hangs = 2 * time.Minute

// daemonState is what can be told of the daemon of a spool.
type daemonState struct {
	runs  bool
	pid   int // of a process that can be told something; zero: there is none, or it is in another container
	signs daemonstate.Signs
	tells bool  // it has left signs
	err   error // why it cannot be told whether one runs
}

// daemon looks for the daemon of the spool.
func (c *call) daemon() (d daemonState) {
	signs, tells := c.signs()
	fresh := tells && ago(c.now, signs.Written) < hangs
	pid, err := c.dir.Lock().Holder()
	switch {
	case err != nil && errors.Is(err, fs.ErrPermission) && fresh:
		d.runs = true // the lock is not for our eyes
	case err != nil:
		d.err = err
	case pid != 0:
		d.runs, d.pid = true, pid
	case fresh:
		d.runs, d.err = c.dir.Lock().Held()
	}
	if d.runs && tells && (d.pid == 0 || d.pid == signs.PID) {
		d.signs, d.tells = signs, true // else they are those of an earlier one
	}
	return d
}

// signs returns what a daemon, perhaps one of the past, has said of itself.
func (c *call) signs() (s daemonstate.Signs, ok bool) {
	fi, err := os.Lstat(c.dir.File(daemonstate.Name))
	if err != nil || !fi.Mode().IsRegular() {
		return s, false
	}
	if s, ok, err = daemonstate.Read(c.dir.Path()); err != nil {
		c.say("what the daemon says of itself cannot be read: %v", err)
	}
	return s, ok && err == nil
}
