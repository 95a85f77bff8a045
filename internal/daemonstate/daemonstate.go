// Package daemonstate is what a running daemon says of itself in a file of the spool, so that the other commands can tell how
// its relays are and how fast it goes without talking to it. The file is no memory: it is written anew by each daemon, and
// what it says is believed only while that daemon runs.
package daemonstate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// Name is the name of the file in the spool directory.
const Name = spooldir.StateFile

// State are the signs of life of a daemon.
type State struct {
	PID     int
	Version string
	Started time.Time
	Written time.Time // when these signs were last known to be true: older than a minute, and the daemon hangs or is gone
	Paused  bool
	Trouble string `json:",omitempty"` // why the spool directory, or files in it, cannot be worked on; empty: they can

	Sent, Deferred, Failed uint64  // recipients since Started: accepted, put off (an attempt was counted), given up
	PerMinute              float64 // recipients accepted a minute, over the last five minutes or since Started

	Rate        string    `json:",omitempty"` // the limits in force; empty: none
	RateWait    time.Time `json:",omitzero"`  // until when the rate holds everything back; zero: it does not
	RateWaits   uint64    // how often it has done so
	Connections int       // open, to all relays
	Relays      []Relay   // in order of preference, those of routes after the others
}

// Relay is how one relay is.
type Relay struct {
	Name        string
	Senders     string    `json:",omitempty"` // of a route: whose mail it takes, "@example.com"; empty: all other mail
	Connections int       // open now
	Limit       int       // of connections, as learnt so far
	Slowed      time.Time `json:",omitzero"`  // until when it gets nothing, as it has said that mail comes too fast
	Trouble     string    `json:",omitempty"` // why it rests; empty: it is well
	Since       time.Time `json:",omitzero"`  // when the trouble began
	RestsUntil  time.Time `json:",omitzero"`  // when it is tried again
}

// Write writes the file's content to w.
func Write(w io.Writer, s State) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

// most is far more than the file is, in bytes.
const most = 1 << 20

// Read reads the signs of the daemon of the spool directory dir. ok is false where there are none. While nothing changes
// the daemon does not write the file anew, which would be a change of the directory: it sets the file's time, and that is
// Written then. It waits for nothing that stands in the file's place.
func Read(dir string) (s State, ok bool, err error) {
	f, err := spooldir.OpenRead(filepath.Join(dir, Name))
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, most)).Decode(&s); err != nil {
		return State{}, false, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if info, err := f.Stat(); err == nil && info.ModTime().After(s.Written) {
		s.Written = info.ModTime()
	}
	return s, true, nil
}
