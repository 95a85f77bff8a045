package trial

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/advice"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// pace is the time between two looks at a spool that somebody else runs.
const pace = 250 * time.Millisecond

// Follow watches what the daemon that runs the spool makes of the message, until it is out of the spool or ctx ends; without
// patience until it has been put off. It looks at files only.
func (t *Trial) Follow(ctx context.Context, spool *spoolgore.Spool, dir *spooldir.Dir, statusFile string, patience bool) Outcome {
	if statusFile == "" {
		statusFile = dir.File(".spoolgore.js")
	}
	var seen time.Time // of the status file
	for {
		if _, err := dir.Stat(t.name); errors.Is(err, fs.ErrNotExist) {
			return t.left(dir)
		}
		if fi, err := os.Stat(statusFile); err == nil && !fi.ModTime().Equal(seen) {
			seen = fi.ModTime()
			t.look(spool.Status()[dir.File(t.name)])
			if t.outcome == PutOff && !patience {
				return t.outcome
			}
		}
		if pid, err := dir.Holder(); err == nil && pid == 0 {
			t.Page.Line("trouble", "the daemon has ended; the message stays in the spool, and the next one sends it")
			return t.outcome
		}
		select {
		case <-ctx.Done():
			return t.outcome
		case <-time.After(pace):
		}
	}
}

// look tells what the status file says that is new.
func (t *Trial) look(m spoolgore.Message) {
	if m.Error != "" && m.Error != t.told {
		t.told = m.Error
		t.Page.Line("trouble", "%s", m.Error)
	}
	if len(m.To) == 0 || m.To[0].Error == "" || m.To[0].Error == t.told {
		return
	}
	r := m.To[0]
	t.told, t.outcome = r.Error, PutOff
	f := advice.Read(r.Error)
	if f.Relay {
		t.Page.Line("trouble", "%s", r.Error)
	} else {
		t.next = r.NextAttempt
		t.Page.Line("put off", "%s: %s", r.Relay, r.Error)
	}
	t.advise(f)
}

// left tells what became of a message that is not in the spool any more.
func (t *Trial) left(dir *spooldir.Dir) Outcome {
	var why spoolgore.Failure
	text, err := os.ReadFile(dir.File(filepath.Join("failed", t.name+".json")))
	switch {
	case err == nil && json.Unmarshal(text, &why) == nil && len(why.To) > 0:
		t.outcome = Failed
		t.Page.Line("failed", "%s", why.Reason)
		t.advise(advice.Read(why.To[0].Error))
	case err == nil:
		t.outcome = Failed
		t.Page.Line("failed", "see failed/%s.json", t.name)
	default:
		if _, err := dir.StatHeld(t.name); err == nil {
			t.Page.Line("trouble", "somebody has moved it to hold/")
			return t.outcome
		}
		t.outcome = Accepted
		t.Page.Line("accepted", "it has left the spool, as a relay has it")
	}
	return t.outcome
}
