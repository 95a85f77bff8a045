package spoolgore

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
)

// editStatus changes the record of the message m in the status file, as an operator does during a pause.
func editStatus(t *testing.T, s *Spool, dir string, edit func(m *Message)) {
	t.Helper()
	s.Pause()
	path := filepath.Join(dir, ".spoolgore.js")
	text, err := os.ReadFile(path)
	check(t, err)
	var status Status
	check(t, json.Unmarshal(text, &status))
	m := one(t, status)
	edit(&m)
	text, err = json.Marshal(Status{filepath.Join(dir, "m"): m})
	check(t, err)
	check(t, os.WriteFile(path, text, 0o600))
	check(t, s.Reload())
	s.Resume()
}

func TestRecipientTakenOutByHandStaysOut(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F14", known.Bubble(func(t *testing.T) error {
		var accepts atomic.Bool
		dir, relay := t.TempDir(), &ledger{answer: func(string, string, int) error {
			if accepts.Load() {
				return nil
			}
			return errLater
		}}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		editStatus(t, s, dir, func(m *Message) { m.To = m.To[1:] }) // without a@x.org
		pass(5 * time.Minute)
		if n := relay.tries("m", "a@x.org"); n != 1 {
			t.Fatalf("a@x.org was tried %d times, want 1: before the edit", n)
		}
		accepts.Store(true)
		touchWithDir(t, dir, "m")
		pass(time.Minute)
		stop()
		if err := copies(relay, "b@x.org", 1); err != nil {
			t.Fatal("touch does not retry: ", err)
		}
		return copies(relay, "a@x.org", 0)
	}))
}

func TestMessageWithoutRecipientsFailsWithReason(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F19", known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{answer: func(string, string, int) error { return errLater }}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		editStatus(t, s, dir, func(m *Message) { m.To = nil })
		pass(time.Minute)
		stop()
		if whyFile(t, dir, "m").Reason == "" {
			return errors.New("failed/m.json gives no reason")
		}
		return nil
	}))
}
