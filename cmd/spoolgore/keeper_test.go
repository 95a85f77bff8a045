//go:build unix

package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// Old messages in failed/ are removed with their why-files, and younger ones stay, as do messages without a why-file.
func TestKeepFailed(t *testing.T) {
	is := is.New(t)
	spool := t.TempDir()
	failed := filepath.Join(spool, "failed")
	must(t, os.Mkdir(failed, 0o700))
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": 31 * 24 * time.Hour, "older": 90 * 24 * time.Hour, "young": 29 * 24 * time.Hour} {
		for _, file := range []string{name, name + ".json"} {
			must(t, os.WriteFile(filepath.Join(failed, file), []byte("{}"), 0o600))
			must(t, os.Chtimes(filepath.Join(failed, file), now.Add(-age), now.Add(-age)))
		}
	}
	must(t, os.WriteFile(filepath.Join(failed, "alone"), nil, 0o600))
	must(t, os.Chtimes(filepath.Join(failed, "alone"), now.Add(-1000*time.Hour), now.Add(-1000*time.Hour)))
	must(t, os.WriteFile(filepath.Join(failed, "orphan.json"), []byte("{}"), 0o600)) // its message was moved back
	must(t, os.Chtimes(filepath.Join(failed, "orphan.json"), now.Add(-1000*time.Hour), now.Add(-1000*time.Hour)))
	var log bytes.Buffer
	k := newKeeper(spool, 0, slog.New(slog.NewTextHandler(&log, nil)))
	k.look(t.Context(), now)
	is.Equal(len(filesIn(t, failed)), 8) // off by default
	k.set(30 * 24 * time.Hour)
	k.start()()
	var left []string
	for _, path := range filesIn(t, failed) {
		left = append(left, filepath.Base(path))
	}
	is.Equal(strings.Join(left, " "), "alone orphan.json young young.json")
	is.True(strings.Contains(log.String(), "messages=2"))
}

// A run of -once removes old messages, too, and the flag has days.
func TestKeepFailedOnce(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := t.TempDir()
	failed := filepath.Join(spool, "failed")
	must(t, os.Mkdir(failed, 0o700))
	at := time.Now().Add(-31 * 24 * time.Hour)
	for _, file := range []string{"m", "m.json"} {
		must(t, os.WriteFile(filepath.Join(failed, file), []byte("{}"), 0o600))
		must(t, os.Chtimes(filepath.Join(failed, file), at, at))
	}
	d := start(t, "-once", "-keepfailed", "30d", "-smtpaddr", "127.0.0.1:1", spool)
	is.Equal(d.exit(), 0)
	is.Equal(len(filesIn(t, failed)), 0)
	d.logs("old messages removed from failed", 1)
}

// Commands get relay-down and relay-up with JSON on standard input.
func TestOnRelayDownAndUp(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, open := deferring("451 4.3.0 closed")
	out := filepath.Join(t.TempDir(), "out")
	spool := t.TempDir()
	d := start(t, "-smtpaddr", relay.Listen(t), "-on", "relay-down,relay-up=cat >>"+out, spool)
	drop(t, spool, "m", mail("From: app@example.com", "To: ann@example.org"))
	said := func(words string) func() bool {
		return func() bool {
			text, _ := os.ReadFile(out)
			return strings.Contains(string(text), words)
		}
	}
	eventually(t, "the relay is down", said(`"Event":"relay-down"`))
	open()
	code, _, _ := command("", "flush", spool)
	is.Equal(code, 0)
	eventually(t, "the relay is up again", said(`"Event":"relay-up"`))
	d.stop()
	text, err := os.ReadFile(out)
	is.NoErr(err)
	is.True(strings.Contains(string(text), `"Relay":"127.0.0.1:`))
}
