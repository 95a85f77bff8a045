package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/hooks"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// leave writes message files with an old modification time.
func leave(t *testing.T, dir string, messages map[string]string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	for name, text := range messages {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnceCounterCountsMessages(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	leave(t, dir, map[string]string{
		"one": "From: a@x.org\nTo: b@x.org, c@x.org, d@x.org\n\nx\n", "two": "From: a@x.org\nTo: later@x.org\n\nx\n",
		"three": "From: a@x.org\nTo: never@x.org\n\nx\n", "no message": "hello\n",
	})
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		switch {
		case verb == "RCPT" && arg == "later@x.org":
			return "451 4.7.1 later"
		case verb == "RCPT" && arg == "never@x.org":
			return "550 5.1.1 never"
		}
		return ""
	}}
	var done, total, before int64
	counter := newOnceCounter(dir, func(d, n int64) {
		is.True(d >= before && d <= n) // the counter neither decreases nor exceeds the total
		done, total, before = d, n, d
	})
	var others int
	opts := spoolgore.Options{SMTPAddr: "relay.test:25", Dial: relay.Dial, NoReports: true, Logger: slog.New(slog.DiscardHandler),
		OnEvent: hooks.InTurn(nil, counter.observe, func(spoolgore.Event) { others++ })}
	is.NoErr(spoolgore.New(dir, opts).Drain(t.Context()))
	is.Equal(done, int64(3))  // each message counts once, however many recipients it has and whatever the outcome is
	is.Equal(total, int64(4)) // the files at the start
	is.True(others > 3)       // the other observer gets the events, too
}

func TestOnceCounterOfNewMessagesAndRelayTrouble(t *testing.T) {
	is := is.New(t)
	var done, total int64
	counter := newOnceCounter(filepath.Join(t.TempDir(), "none"), func(d, n int64) { done, total = d, n })
	for _, ev := range []spoolgore.Event{
		{Kind: spoolgore.EventQueued, File: "a", To: "x"}, {Kind: spoolgore.EventQueued, File: "a", To: "y"}, {Kind: spoolgore.EventQueued, File: "b"},
		{Kind: spoolgore.EventDeferred, File: "a", Fault: spoolgore.FaultRelay}, {Kind: spoolgore.EventSent, File: "a", To: "x"}, {Kind: spoolgore.EventFailed, File: "a", To: "y"},
		{Kind: spoolgore.EventKept, File: "a"},
	} {
		counter.observe(ev)
	}
	is.Equal(done, int64(1))  // relay trouble is no outcome of a message
	is.Equal(total, int64(2)) // a message that arrives later is counted, too
}
