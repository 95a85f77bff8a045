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

// handOver puts the text of a message into the spool as name. It may look, while it is at it, whether the relay has got
// something too early.
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

// writeSlowly takes six seconds: first a header that could be a whole message, four seconds of nothing, then the rest.
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
	is.Equal(len(statusOf(t, jsonPath)), 0) // nothing waits yet

	began := time.Now()
	text := mail("To: Ann <ann@example.com>", "Cc: bob@example.com", "Bcc: hidden@example.org")
	put(t, spool, "one.eml", text, relay)
	path := filepath.Join(spool, "one.eml")
	eventually(t, "the status file tells of the first attempt", func() bool { return statusOf(t, jsonPath)[path].Attempts == 1 })
	m := statusOf(t, jsonPath)[path]
	is.Equal(m.From, "app@example.com")
	checkRecipient(t, m.To, "ann@example.com", spoolgore.StateDone, 0)
	checkRecipient(t, m.Cc, "bob@example.com", spoolgore.StateDone, 0)
	checkRecipient(t, m.Bcc, "hidden@example.org", spoolgore.StateWaiting, 1)
	is.True(strings.Contains(m.Bcc[0].Error, "451 4.2.1 not now")) // the reply of the relay is told
	wait := m.Bcc[0].NextAttempt.Sub(m.Bcc[0].LastAttempt)
	is.True(wait > 50*time.Second && wait < 2*time.Minute)              // the next attempt is about a minute after the first
	is.True(!m.Enqueued.Before(began) && !m.Enqueued.After(time.Now())) // enqueued just now
	is.True(exists(path))                                               // the file stays while somebody waits

	d.signal(syscall.SIGUSR1)
	eventually(t, "the file is removed", func() bool { return !exists(path) })
	eventually(t, "the status file forgets it", func() bool { return len(statusOf(t, jsonPath)) == 0 })
	checkMail(t, relay, strings.Replace(text, "Bcc: hidden@example.org\n", "", 1))
	d.stop()
	is.True(!exists(filepath.Join(spool, ".spoolgore.js"))) // -json says where, and only there
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

// checkMail looks at what the relay has got: text for the two, then for the hidden one.
func checkMail(t *testing.T, relay *smtptest.Relay, text string) {
	t.Helper()
	is := is.New(t)
	got := relay.Messages()
	is.Equal(len(got), 2)                                               // one transaction, and one more for who was deferred
	is.Equal(got[0].To, []string{"ann@example.com", "bob@example.com"}) // recipients of the first
	is.Equal(got[1].To, []string{"hidden@example.org"})                 // recipient of the second
	for _, m := range got {
		is.Equal(m.From, "app@example.com")                              // reverse-path
		is.Equal(m.User, "user")                                         // logged in
		is.Equal(string(m.Data), strings.ReplaceAll(text, "\n", "\r\n")) // every byte, but for Bcc and line ends
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
	is.Equal(d.exit(), 0)              // all was tried
	is.Equal(len(relay.Messages()), 1) // what the relay takes is sent
	is.True(!exists(sent))             // and removed
	is.True(exists(later))             // what is deferred stays
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
	is.Equal(d.exit(), 75)                                        // to be tried again later
	is.True(exists(path))                                         // the message stays
	is.True(strings.Contains(d.log.String(), "closed for today")) // and the log says why
}

// TestRestart checks that what the status file says of attempts survives the process.
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
	is.True(after.To[0].NextAttempt.Equal(before.To[0].NextAttempt)) // the next attempt is when it was to be
	d.signal(syscall.SIGUSR1)
	d.logs("delivery deferred", 1)
	d.stop()
	checkRecipient(t, statusOf(t, js)[path].To, "ann@example.com", spoolgore.StateWaiting, 2)
}
