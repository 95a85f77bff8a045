//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// handOver writes the message text into the spool as name. While it writes, it may check that the relay has no message
// yet.
type handOver func(t *testing.T, spool, name, text string, relay *smtptest.Relay)

// TestSeedFlags has the daemon deliver a message with the flags of the 2014 tool.
func TestSeedFlags(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]handOver{
		"renamed": func(t *testing.T, spool, name, text string, _ *smtptest.Relay) { drop(t, spool, name, text) },
		"linked": func(t *testing.T, spool, name, text string, _ *smtptest.Relay) {
			tmp := filepath.Join(spool, "tmp", name)
			must(t, os.WriteFile(tmp, []byte(text), 0o600))
			must(t, os.Link(tmp, filepath.Join(spool, name)))
			must(t, os.Remove(tmp))
		},
		"written slowly in place": writeSlowly,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testSeedFlags(t, put)
		})
	}
}

// writeSlowly takes six seconds: a header that could be a whole message, a pause of four seconds, then the rest.
func writeSlowly(t *testing.T, spool, name, text string, relay *smtptest.Relay) {
	f, err := os.Create(filepath.Join(spool, name))
	must(t, err)
	nothingSent := func() bool { return len(relay.Commands()) == 0 }
	for _, part := range []struct {
		text string
		rest time.Duration
	}{{text[:strings.Index(text, "\n\n")+2], 4 * time.Second}, {text[strings.Index(text, "\n\n")+2:], 2 * time.Second}} {
		_, err := f.WriteString(part.text)
		must(t, err)
		throughout(t, part.rest, "nothing is sent before the writer has finished", nothingSent)
	}
	must(t, f.Close())
}

func testSeedFlags(t *testing.T, put handOver) {
	is := is.New(t)
	var deferred atomic.Bool
	relay := &smtptest.Relay{
		Ext: []string{"AUTH PLAIN", "SIZE"}, Users: map[string]string{"user": "se cret"},
		Reply: func(verb, arg string) string {
			if verb == "RCPT" && arg == "hidden@example.org" && deferred.CompareAndSwap(false, true) {
				return "451 4.2.1 not now"
			}
			return ""
		},
	}
	spool, jsonPath := t.TempDir(), filepath.Join(t.TempDir(), "status.js")
	d := start(t, "-smtpaddr", relay.Listen(t), "-smtpuser", "user", "-smtppassword", "se cret", "-freq", "1", "-attempts", "5",
		"-json", jsonPath, spool)
	eventually(t, "the status file is there", func() bool { return exists(jsonPath) })
	is.Equal(len(statusOf(t, jsonPath)), 0) // the status file has no message yet

	began := time.Now()
	text := mail("To: Ann <ann@example.com>", "Cc: bob@example.com", "Bcc: hidden@example.org")
	put(t, spool, "one.eml", text, relay)
	path := filepath.Join(spool, "one.eml")
	eventually(t, "the status file has the first attempt", func() bool { return statusOf(t, jsonPath)[path].Attempts == 1 })
	m := statusOf(t, jsonPath)[path]
	is.Equal(m.From, "app@example.com")
	checkRecipient(t, m.To, "ann@example.com", spoolgore.StateDone, 0)
	checkRecipient(t, m.Cc, "bob@example.com", spoolgore.StateDone, 0)
	checkRecipient(t, m.Bcc, "hidden@example.org", spoolgore.StateWaiting, 1)
	is.True(strings.Contains(m.Bcc[0].Error, "451 4.2.1 not now")) // the status has the reply of the relay
	wait := m.Bcc[0].NextAttempt.Sub(m.Bcc[0].LastAttempt)
	// the next attempt is about a minute after the first
	is.True(wait > 50*time.Second && wait < 2*time.Minute)
	is.True(!m.Enqueued.Before(began) && !m.Enqueued.After(time.Now())) // enqueued just now
	is.True(exists(path))                                               // the file stays while a recipient waits

	d.signal(syscall.SIGUSR1)
	eventually(t, "the file is removed", func() bool { return !exists(path) })
	eventually(t, "the entry in the status file is removed", func() bool { return len(statusOf(t, jsonPath)) == 0 })
	checkMail(t, relay, strings.Replace(text, "Bcc: hidden@example.org\n", "", 1))
	d.stop()
	is.True(!exists(filepath.Join(spool, ".spoolgore.js"))) // with -json there is no status file in the spool
	is.True(!strings.Contains(d.log.String(), "se cret"))   // the log has no password
}

func checkRecipient(t *testing.T, list []spoolgore.Recipient, address string, status spoolgore.State, attempts int) {
	t.Helper()
	is := is.New(t)
	is.Equal(len(list), 1)               // recipients in this field
	is.Equal(list[0].Address, address)   // the address
	is.Equal(list[0].Status, status)     // the state
	is.Equal(list[0].Attempts, attempts) // failed attempts
}

// checkMail checks the messages that the relay got: one to the two visible recipients, then one to the hidden
// recipient.
func checkMail(t *testing.T, relay *smtptest.Relay, text string) {
	t.Helper()
	is := is.New(t)
	got := relay.Messages()
	// one transaction, and one more for the deferred recipient
	is.Equal(len(got), 2)
	is.Equal(got[0].To, []string{"ann@example.com", "bob@example.com"}) // recipients of the first
	is.Equal(got[1].To, []string{"hidden@example.org"})                 // recipient of the second
	for _, m := range got {
		is.Equal(m.From, "app@example.com") // reverse-path
		is.Equal(m.User, "user")            // logged in
		// the content is the same, except for Bcc and line ends
		is.Equal(string(m.Data), strings.ReplaceAll(text, "\n", "\r\n"))
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && arg == "later@example.com" {
			return "451 4.2.1 not now"
		}
		return ""
	}}
	spool := t.TempDir()
	sent := drop(t, spool, "sent.eml", mail("To: ann@example.com"))
	later := drop(t, spool, "later.eml", mail("To: later@example.com"))
	d := start(t, "-once", "-smtpaddr", relay.Listen(t), spool)
	is.Equal(d.exit(), 0)              // every message was tried
	is.Equal(len(relay.Messages()), 1) // the accepted message
	is.True(!exists(sent))             // the accepted message is removed
	is.True(exists(later))             // the deferred message stays
	m := statusOf(t, filepath.Join(spool, ".spoolgore.js"))[later]
	checkRecipient(t, m.To, "later@example.com", spoolgore.StateWaiting, 1)
}

func TestOnceWithoutRelay(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "CONNECT" {
			return "554 5.3.2 closed for today"
		}
		return ""
	}}
	spool := t.TempDir()
	path := drop(t, spool, "one.eml", mail("To: ann@example.com"))
	d := start(t, "-once", "-smtpaddr", relay.Listen(t), spool)
	is.Equal(d.exit(), 75)                                        // exit code for "try again later"
	is.True(exists(path))                                         // the message stays
	is.True(strings.Contains(d.log.String(), "closed for today")) // and the log says why
}

// TestRestart checks that the attempts in the status file are kept over a restart.
func TestRestart(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "RCPT" {
			return "451 4.2.1 not now"
		}
		return ""
	}}
	spool, addr := t.TempDir(), relay.Listen(t)
	path, js := drop(t, spool, "one.eml", mail("To: ann@example.com")), filepath.Join(spool, ".spoolgore.js")
	d := start(t, "-smtpaddr", addr, "-freq", "200ms", spool)
	d.logs("delivery deferred", 1)
	d.stop()
	before := statusOf(t, js)[path]
	checkRecipient(t, before.To, "ann@example.com", spoolgore.StateWaiting, 1)

	d = start(t, "-smtpaddr", addr, "-freq", "200ms", spool)
	d.logs("started", 1)
	tried := func() int { return strings.Count(strings.Join(relay.Commands(), "\n"), "RCPT ") }
	throughout(t, time.Second, "the message is not tried before its time", func() bool { return tried() == 1 })
	after := statusOf(t, js)[path]
	checkRecipient(t, after.To, "ann@example.com", spoolgore.StateWaiting, 1)
	is.True(after.To[0].NextAttempt.Equal(before.To[0].NextAttempt)) // the time of the next attempt is kept
	d.signal(syscall.SIGUSR1)
	d.logs("delivery deferred", 1)
	d.stop()
	checkRecipient(t, statusOf(t, js)[path].To, "ann@example.com", spoolgore.StateWaiting, 2)
}
