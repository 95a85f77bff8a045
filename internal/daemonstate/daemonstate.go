// Package daemonstate reads and writes the state file, in which a running daemon keeps the state of its relays and its
// pace for other commands. Each daemon writes a new file. The content counts only while that daemon runs.
package daemonstate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// Name is the name of the file in the spool directory.
const Name = spooldir.StateFile

// State are the signs of life of a daemon.
type State struct {
	PID     int // zero: workers of a fleet
	Workers int `json:",omitempty"` // of a fleet
	Version string
	Started time.Time
	Written time.Time // last time at which the state was true, see Silent
	Idle    bool      `json:",omitempty"` // no message waits, and no relay is in use or in trouble
	Paused  bool
	Trouble string `json:",omitempty"` // why the spool directory or files cannot be worked on; empty: no problem

	Latency                Latency `json:",omitzero"` // of a fleet
	Sent, Deferred, Failed uint64  // recipients since Started: accepted, put off (an attempt was counted), given up
	PerMinute              float64 // recipients accepted a minute, over the last five minutes or since Started
	Speed                  float64 // the same, without the time when no mail was accepted for a minute

	Rate        string    `json:",omitempty"` // the limits in force; empty: none
	RateWait    time.Time `json:",omitzero"`  // end of the wait for the rate limit; zero: no wait
	RateWaits   uint64    // number of waits since Started
	Redirect    string    `json:",omitempty"` // recipient of all mail; empty: each message has its own
	Allow       []string  `json:",omitempty"` // patterns of the only recipients; none: all are allowed
	Connections int       // open, to all relays
	Relays      []Relay   // in order of preference; those of routes last
}

// An idle daemon writes its state every Quiet, any other daemon each half minute.
const (
	Quiet = 5 * time.Minute

	silent     = 2 * time.Minute
	silentIdle = 2*Quiet + time.Minute
)

// Silent reports whether the state is older at now than that of a daemon that runs: the daemon hangs or is gone.
func (s *State) Silent(now time.Time) bool {
	age := now.Sub(s.Written)
	return age >= silent && !s.Idle || age >= silentIdle
}

// Notices returns what changes the recipients of all mail, a sentence for each.
func (s *State) Notices() (texts []string) {
	if s.Redirect != "" {
		texts = append(texts, "all mail goes to "+s.Redirect+" (redirect)")
	}
	if len(s.Allow) > 0 {
		texts = append(texts, "mail to any recipient but "+strings.Join(s.Allow, ", ")+" is held (allow)")
	}
	return texts
}

// Relay is the state of one relay.
type Relay struct {
	Name        string
	Senders     string    `json:",omitempty"` // of a route: the senders, as "@example.com"; empty: all other mail
	Connections int       // open now
	Limit       int       // of connections, as learnt so far
	Slowed      time.Time `json:",omitzero"`  // end of a pause after the relay asked for slower mail; zero: none
	Pace        float64   `json:",omitempty"` // messages a minute to a relay that asked for slower mail; zero: no limit
	Reply       string    `json:",omitempty"` // reply that asked for slower mail; empty: none
	Learnt      []string  `json:",omitempty"` // facts for which the relay is used in another way than configured
	Trouble     string    `json:",omitempty"` // why the relay rests; empty: it does not
	Since       time.Time `json:",omitzero"`  // when the trouble began
	RestsUntil  time.Time `json:",omitzero"`  // time of the next attempt
}

// Write writes the file's content to w.
func Write(w io.Writer, s State) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

// most is far more than the file is, in bytes.
const most = 1 << 20

// Read reads the state of the daemon of the spool directory dir. ok is false if there is no state file. While the state
// does not change, the daemon sets only the time of the file, which counts as Written. Read does not block on a file
// that is not regular.
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

// Slow returns the reasons why relays are used more slowly than configured, a sentence for each relay.
func (s *State) Slow() (texts []string) {
	for _, r := range s.Relays {
		if text := r.Slow(); text != "" {
			texts = append(texts, "relay "+r.Name+" is used more slowly: "+text)
		}
	}
	return texts
}

// Slow returns the reasons why r is used more slowly than configured; empty: none.
func (r *Relay) Slow() string {
	var parts []string
	if r.Reply != "" {
		text := "replied " + r.Reply
		if r.Pace > 0 {
			text = fmt.Sprintf("%.3g messages a minute, as the relay %s", r.Pace, text)
		}
		parts = append(parts, text)
	}
	return strings.Join(append(parts, r.Learnt...), "; ")
}
