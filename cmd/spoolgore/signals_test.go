//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// TestOwnSignalsDoNotFlush: the Go runtime sends SIGURG to its own process under load. Such a signal must not cause
// retries before their time, and a SIGURG from outside must.
func TestOwnSignalsDoNotFlush(t *testing.T) {
	t.Parallel()
	for name, waiting := range map[string]int{"idle": 1, "busy": 4000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testOwnSignals(t, waiting)
		})
	}
}

// testOwnSignals runs a daemon with that many waiting messages. If there is more than one, new messages keep the daemon
// busy.
func testOwnSignals(t *testing.T, waiting int) {
	is := is.New(t)
	relay, _ := deferring("451 4.2.1 not now")
	spool := t.TempDir()
	deferred(t, spool, waiting)
	// Each garbage collection preempts the goroutines that run.
	d := startWith(t, []string{"GOGC=10"}, "-smtpaddr", relay.Listen(t), "-freq", "100ms", spool)
	d.logs("msg=started", 1)
	retried := func() int { return strings.Count(d.log.String(), "attempt=2 ") }
	fresh, next := 0, time.Now()
	throughout(t, 10*time.Second, "nobody is tried again by itself", func() bool {
		if waiting > 1 && time.Now().After(next) { // each new message makes the daemon write the status of all messages
			drop(t, spool, fmt.Sprintf("fresh%d.eml", fresh), mail(fmt.Sprintf("To: fresh%d@example.com", fresh)))
			fresh, next = fresh+1, time.Now().Add(100*time.Millisecond)
		}
		return retried() == 0
	})
	is.Equal(strings.Count(d.log.String(), "name=SIGURG"), 0) // signals seen
	if waiting > 1 {
		d.logs("attempt=1 ", fresh/2) // the daemon did work meanwhile
		eventually(t, "the status file has all messages", func() bool {
			return len(statusOf(t, filepath.Join(spool, ".spoolgore.js"))) > waiting
		})
	}
	d.signal(syscall.SIGURG)
	enough := min(waiting, 200) // trying all messages of a busy daemon takes a while
	eventually(t, "waiting messages are tried again after a real SIGURG", func() bool { return retried() >= enough })
	is.Equal(strings.Count(d.log.String(), "name=SIGURG"), 1) // signals seen
	d.stop()
}

// deferred fills the spool with messages whose first attempt has failed and whose next attempt is in an hour.
func deferred(t *testing.T, spool string, n int) {
	t.Helper()
	status := spoolgore.Status{}
	for i := range n {
		path, to := filepath.Join(spool, fmt.Sprintf("%d.eml", i)), fmt.Sprintf("rcpt%d@example.com", i)
		must(t, os.WriteFile(path, []byte(mail("To: "+to)), 0o600))
		fi, err := os.Stat(path)
		must(t, err)
		status[path] = spoolgore.Message{
			From: "app@example.com", Attempts: 1, Enqueued: time.Now(), Size: fi.Size(), Modified: fi.ModTime(),
			To: []spoolgore.Recipient{{Address: to, Attempts: 1, NextAttempt: time.Now().Add(time.Hour)}},
		}
	}
	writeJSON(t, filepath.Join(spool, ".spoolgore.js"), status)
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	must(t, os.WriteFile(path, text, 0o600))
}

// TestPauseEditReload edits the status file in a pause.
func TestPauseEditReload(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, open := deferring("451 4.2.1 not now")
	spool := t.TempDir()
	path, js := drop(t, spool, "one.eml", mail("To: ann@example.com", "Cc: bob@example.com")), filepath.Join(spool, ".spoolgore.js")
	d := start(t, "-smtpaddr", relay.Listen(t), "-freq", "100ms", spool)
	d.logs("delivery deferred", 2)

	d.signal(syscall.SIGTSTP)
	d.logs("msg=paused", 1)
	// the status file is current
	checkRecipient(t, statusOf(t, js)[path].To, "ann@example.com", spoolgore.StateWaiting, 1)
	open()
	fresh := drop(t, spool, "two.eml", mail("To: eve@example.com"))
	throughout(t, time.Second, "nothing is sent in a pause", func() bool { return len(relay.Messages()) == 0 })

	must(t, os.WriteFile(js, []byte("{broken\n"), 0o600))
	d.signal(syscall.SIGHUP)
	d.logs("level=ERROR", 1)
	is.True(strings.Contains(d.log.String(), js)) // the error names the file
	throughout(t, time.Second, "the pause goes on, and the file is left alone", func() bool {
		text, err := os.ReadFile(js)
		return err == nil && string(text) == "{broken\n" && len(relay.Messages()) == 0 && exists(fresh)
	})

	// Ann is marked as done by hand, and Bob is due now.
	writeJSON(t, js, spoolgore.Status{path: {
		From: "app@example.com", Attempts: 1, Enqueued: time.Now(),
		To: []spoolgore.Recipient{{Address: "ann@example.com", Status: spoolgore.StateDone, Attempts: 1}},
		Cc: []spoolgore.Recipient{{Address: "bob@example.com", NextAttempt: time.Now()}},
	}})
	d.signal(syscall.SIGHUP)
	eventually(t, "both messages leave the spool", func() bool { return !exists(path) && !exists(fresh) })
	d.stop()
	var to []string
	for _, m := range relay.Messages() {
		to = append(to, m.To...)
	}
	is.Equal(len(to), 2)                                      // recipients that got a message
	is.True(!strings.Contains(strings.Join(to, " "), "ann@")) // no message to the recipient that was marked as done
}

// TestFlushEndsPause checks that SIGURG after SIGTSTP ends the pause, as in the 2014 tool.
func TestFlushEndsPause(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{}
	spool := t.TempDir()
	d := start(t, "-smtpaddr", relay.Listen(t), spool)
	d.logs("msg=started", 1)
	d.signal(syscall.SIGTSTP)
	d.logs("msg=paused", 1)
	path := drop(t, spool, "one.eml", mail("To: ann@example.com"))
	d.signal(syscall.SIGURG)
	eventually(t, "the message is sent", func() bool { return !exists(path) })
	is.Equal(len(relay.Messages()), 1) // sent once
	d.stop()
}

// TestStopWaitsForTransactions checks that SIGTERM lets a transaction in flight end.
func TestStopWaitsForTransactions(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, arrived, release := holding(t)
	spool := t.TempDir()
	path := drop(t, spool, "one.eml", mail("To: ann@example.com"))
	d := start(t, "-smtpaddr", relay.Listen(t), "-freq", "100ms", spool)
	<-arrived
	d.signal(syscall.SIGTERM)
	d.logs("action=stop", 1)
	second := drop(t, spool, "two.eml", mail("To: bob@example.com"))
	throughout(t, time.Second, "it waits for the relay", d.running)
	release()
	is.Equal(d.exit(), 0)              // a clean stop
	is.Equal(len(relay.Messages()), 1) // the transaction in flight has ended
	is.True(!exists(path))             // and its message has left the spool
	is.True(exists(second))            // no new transaction was begun
	status, written := statusOf(t, filepath.Join(spool, ".spoolgore.js")), false
	_, written = status[path]
	is.True(status != nil && !written) // the status file no longer has the delivered message
}

func TestSecondStopIsAtOnce(t *testing.T) {
	t.Parallel()
	for sig, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			if signal.Ignored(sig) {
				t.Skipf("the signal %s is ignored: the tests run in the background of a shell", sig)
			}
			is := is.New(t)
			relay, arrived, _ := holding(t)
			spool := t.TempDir()
			path := drop(t, spool, "one.eml", mail("To: ann@example.com"))
			d := start(t, "-smtpaddr", relay.Listen(t), spool)
			<-arrived
			d.signal(sig)
			d.logs("action=stop", 1)
			d.signal(sig)
			is.Equal(d.exit(), code) // the exit code is that of a process killed by the signal
			is.True(exists(path))    // the message is kept
		})
	}
}

func TestSecondDaemon(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := t.TempDir()
	first := start(t, "-smtpaddr", (&smtptest.Relay{}).Listen(t), spool)
	first.logs("msg=started", 1)
	second := start(t, spool)
	is.Equal(second.exit(), 75) // exit code: another daemon runs
	is.True(strings.Contains(second.log.String(), "stop that process first, or name another directory"))
	// the log has the reason
	is.True(strings.Contains(second.log.String(), "already"))
	// and the process id of the other daemon
	is.True(strings.Contains(second.log.String(), fmt.Sprintf("process %d", first.cmd.Process.Pid)))
	is.Equal(strings.Count(second.log.String(), "\n"), 1) // one line
	first.stop()
}

func TestCannotStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, spool string)
		flags   []string
		say     string
	}{
		"no directory":  {func(t *testing.T, spool string) { must(t, os.Remove(spool)) }, nil, "no such file"},
		"no such relay": {nil, []string{"-smtpaddr", "relay"}, "host:port"},
		"a file": {func(t *testing.T, spool string) {
			must(t, os.Remove(spool))
			must(t, os.WriteFile(spool, nil, 0o600))
		}, nil, "not a directory"},
		"status a directory": {func(t *testing.T, spool string) {
			must(t, os.Mkdir(filepath.Join(spool, ".spoolgore.js"), 0o700))
		}, nil, ".spoolgore.js"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			spool := filepath.Join(t.TempDir(), "spool")
			must(t, os.Mkdir(spool, 0o700))
			if c.prepare != nil {
				c.prepare(t, spool)
			}
			d := start(t, append(append([]string{"-logjson"}, c.flags...), spool)...)
			is.Equal(d.exit(), 78) // exit code of a configuration error
			var line struct{ Level, Err string }
			is.NoErr(json.Unmarshal([]byte(d.log.String()), &line)) // the log is one line of JSON
			is.Equal(line.Level, "ERROR")
			is.True(strings.Contains(line.Err, c.say)) // the error names the mistake
		})
	}
}

// A damaged status file does not keep a daemon from starting: it is set aside, the log says where the damage is, and
// mail is sent.
func TestDamagedStatusIsSetAside(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, spool := &smtptest.Relay{}, t.TempDir()
	status := filepath.Join(spool, ".spoolgore.js")
	must(t, os.WriteFile(status, []byte("{\n{"), 0o600))
	path := drop(t, spool, "one.eml", mail("To: ann@example.com"))
	d := start(t, "-smtpaddr", relay.Listen(t), spool)
	eventually(t, "the message is sent", func() bool { return !exists(path) })
	d.stop()
	is.Equal(len(relay.Messages()), 1)
	is.True(strings.Contains(d.log.String(), "status file damaged and set aside"))
	is.True(strings.Contains(d.log.String(), "line 2")) // where the damage is
	aside, err := filepath.Glob(status + ".bad-*")
	is.NoErr(err)
	is.Equal(len(aside), 1)
	kept, err := os.ReadFile(aside[0])
	is.NoErr(err)
	is.Equal(string(kept), "{\n{")
	is.True(statusOf(t, status) != nil) // the daemon wrote a new one
}

func TestQuietEnvironment(t *testing.T) {
	for env, quiet := range map[string]bool{
		"": false, "asyncpreemptoff=1": true, "gctrace=0,asyncpreemptoff=1": true, "asyncpreemptoff=0": false,
		"asyncpreemptoff=1,asyncpreemptoff=0": false, "asyncpreemptoff=0,asyncpreemptoff=1": true, "asyncpreemptoff=10": false,
	} {
		t.Run(env, func(t *testing.T) {
			is := is.New(t)
			is.Equal(isQuiet(env), quiet) // the last setting wins
		})
	}
}

// deferring is a relay that answers RCPT with reply until open is called.
func deferring(reply string) (relay *smtptest.Relay, open func()) {
	opened := make(chan struct{})
	return &smtptest.Relay{Reply: func(verb, _ string) string {
		select {
		case <-opened:
			return ""
		default:
		}
		if verb == "RCPT" {
			return reply
		}
		return ""
	}}, func() { close(opened) }
}

// holding is a relay that replies to the end of a message only after release; arrived is closed when a message has
// arrived.
func holding(t *testing.T) (relay *smtptest.Relay, arrived <-chan struct{}, release func()) {
	came, released := make(chan struct{}, 1), make(chan struct{})
	return &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "END" {
			came <- struct{}{}
			select {
			case <-released:
			case <-t.Context().Done():
			}
		}
		return ""
	}}, came, func() { close(released) }
}
