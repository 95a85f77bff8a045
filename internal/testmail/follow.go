package testmail

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/diagnose"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// pace is the time between two looks at a spool of another process.
const pace = 250 * time.Millisecond

// Follow prints what the daemon of the spool does with the message, until the message has left the spool or ctx ends;
// without patience until the first deferral. It only reads files.
func (t *Test) Follow(ctx context.Context, dir *spooldir.Dir, statusFile string, patience bool) Outcome {
	statusFile, err := spooldir.StatusPath(dir, statusFile)
	if err != nil {
		t.Page.Line("trouble", "%v", err)
		return t.outcome
	}
	var seen time.Time // of the status file
	for {
		if _, err := dir.Stat(t.name); errors.Is(err, fs.ErrNotExist) {
			return t.left(dir)
		}
		if fi, err := os.Stat(statusFile); err == nil && !fi.ModTime().Equal(seen) {
			seen = fi.ModTime()
			t.look(dir, statusFile)
			if t.outcome == Deferred && !patience {
				return t.outcome
			}
		}
		if pid, err := dir.Lock().Holder(); err == nil && pid == 0 {
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

// look prints changes in the status file.
func (t *Test) look(dir *spooldir.Dir, statusFile string) {
	view, err := mailq.Of(dir.Path(), statusFile, time.Now())
	if err != nil {
		return
	}
	m, err := view.Find(spooldir.Spool, t.name)
	if err != nil {
		return // the message has left the spool
	}
	if m.Error != "" && m.Error != t.told {
		t.told = m.Error
		t.Page.Line("trouble", "%s", m.Error)
	}
	if len(m.To) == 0 || m.To[0].Error == "" || m.To[0].Error == t.told {
		return
	}
	r := m.To[0]
	t.told, t.outcome = r.Error, Deferred
	f := diagnose.Read(r.Error)
	if f.Relay {
		t.Page.Line("trouble", "%s", r.Error)
	} else {
		t.next = r.NextAttempt
		t.Page.Line("deferred", "%s: %s", r.Relay, r.Error)
	}
	t.advise(f)
}

// left prints the fate of a message that has left the spool.
func (t *Test) left(dir *spooldir.Dir) Outcome {
	text, err := dir.Failed().Why(t.name)
	switch {
	case err == nil:
		t.outcome = Failed
		why, err := record.DecodeFailure(text)
		if err != nil || len(why.To) == 0 {
			t.Page.Line("failed", "see %s/%s", spooldir.Failed, spooldir.WhyFile(t.name))
			break
		}
		t.Page.Line("failed", "%s", why.Reason)
		t.advise(diagnose.Read(why.To[0].Error))
	case !errors.Is(err, fs.ErrNotExist):
		t.Page.Line("trouble", "it has left the spool; whether a relay has it cannot be told: %v", err)
	default:
		t.gone(dir)
	}
	return t.outcome
}

// gone prints that a message is neither in the spool nor in failed/.
func (t *Test) gone(dir *spooldir.Dir) {
	if _, err := spooldir.StatIn(dir, spooldir.Hold, t.name); err == nil {
		why := "somebody has moved it to hold/"
		state, _, _ := daemonstate.Read(dir.Path()) // without a state file less is known
		rules, err := rewrite.New(rewrite.Settings{Allow: state.Allow, Redirect: state.Redirect})
		if err == nil && rules.Forbidden([]string{t.To}) != "" {
			why = "it is in hold/: " + rules.Forbidden([]string{t.To}) + " may get no mail (-allow of the daemon)"
		}
		t.Page.Line("trouble", "%s", why)
		return
	}
	if _, err := os.Stat(dir.Path()); err != nil {
		t.Page.Line("trouble", "the spool is not there any more: %v", err)
		return
	}
	t.outcome = Accepted
	t.Page.Line("accepted", "it has left the spool: a relay has accepted it, or a person has deleted it")
}
