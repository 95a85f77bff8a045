//go:build unix

package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// rewrite replaces the content of a file, as an editor does.
func rewrite(t *testing.T, path string, lines ...string) {
	t.Helper()
	must(t, os.WriteFile(path+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	must(t, os.Rename(path+".new", path))
}

// TestReloadCorrectsTheRelay: mail waits for a wrong relay, then for a wrong password. SIGHUP applies the corrected
// configuration.
func TestReloadCorrectsTheRelay(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}, Users: map[string]string{"app": "right"}}
	addr, spool, file := relay.Listen(t), t.TempDir(), configured(t, "smtpaddr 127.0.0.1:1")
	secret := filepath.Join(t.TempDir(), "secret")
	rewrite(t, secret, "wrong")
	for i := range 20 {
		drop(t, spool, fmt.Sprintf("%d.eml", i), mail("To: ann@example.com"))
	}
	d := start(t, "-config", file, "-freq", "100ms", spool)
	d.logs("relay unavailable", 1)
	rewrite(t, file, "smtpaddr "+addr, "smtpuser app", "smtppasswordfile "+secret)
	d.signal(syscall.SIGHUP)
	d.logs("535", 1)
	d.logs("relays_kept=0 relays_ended=1", 1)
	d.signal(syscall.SIGHUP)
	d.logs("relays_kept=1 relays_ended=0", 1) // nothing has changed
	rewrite(t, secret, "right")
	d.signal(syscall.SIGHUP) // otherwise the relay would pause for minutes
	eventually(t, "every message is sent", func() bool { return len(relay.Messages()) == 20 })
	is.Equal(relay.Messages()[0].User, "app")
	d.stop()
	is.True(!strings.Contains(d.log.String(), "right")) // no password in the log
	is.True(!strings.Contains(d.log.String(), "attempt=2"))
}

func TestReloadTakesTheRelaysFileAndTheLogLevel(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	main, own := &smtptest.Relay{}, &smtptest.Relay{}
	dir, spool := t.TempDir(), t.TempDir()
	relays, file := filepath.Join(dir, "relays"), configured(t, "smtpaddr "+main.Listen(t), "verbose")
	rewrite(t, relays, "nobody@example.org 127.0.0.1:1")
	d := start(t, "-config", file, "-relays", relays, "-freq", "100ms", spool)
	d.logs("level=INFO msg=started", 1)
	path := drop(t, spool, "one.eml", mail("To: ann@example.com"))
	eventually(t, "the first message is sent", func() bool { return !exists(path) })
	is.Equal(len(main.Messages()), 1)
	deferred := drop(t, spool, "other.eml", "From: nobody@example.org\nTo: ann@example.com\n\nhi\n")
	d.logs(`level=DEBUG msg="delivery deferred"`, 1) // its relay is unavailable
	must(t, os.Remove(deferred))

	rewrite(t, relays, "app@example.com "+own.Listen(t))
	rewrite(t, file, "smtpaddr 127.0.0.1:1")
	d.signal(syscall.SIGHUP)
	d.logs("options taken over", 1)
	path = drop(t, spool, "two.eml", mail("To: ann@example.com"))
	eventually(t, "the second message is sent", func() bool { return !exists(path) })
	is.Equal(len(own.Messages()), 1) // by the route of the new line in the relays file
	d.logs("relay unavailable", 1)
	drop(t, spool, "three.eml", "From: nobody@example.org\nTo: ann@example.com\n\nhi\n") // without a route of its own
	d.logs("relay unavailable", 2)
	is.Equal(strings.Count(d.log.String(), "level=DEBUG"), 1) // the new log level has fewer lines
	d.stop()
}

// TestReloadKeepsTransactionsInFlight has a transaction in flight during two reloads: one changes nothing for its relay, the
// other removes the relay.
func TestReloadKeepsTransactionsInFlight(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, arrived, release := holding(t)
	other := &smtptest.Relay{}
	spool, addr := t.TempDir(), relay.Listen(t)
	file := configured(t, "smtpaddr "+addr, "attempts 5")
	path := drop(t, spool, "one.eml", mail("To: ann@example.com"))
	d := start(t, "-config", file, "-freq", "100ms", spool)
	<-arrived
	rewrite(t, file, "smtpaddr "+addr, "attempts 6")
	d.signal(syscall.SIGHUP)
	d.logs("relays_kept=1 relays_ended=0", 1)
	rewrite(t, file, "smtpaddr "+other.Listen(t))
	d.signal(syscall.SIGHUP)
	d.logs("relays_kept=0 relays_ended=1", 1)
	second := drop(t, spool, "two.eml", mail("To: bob@example.com"))
	eventually(t, "the new relay has the second message", func() bool { return !exists(second) })
	is.True(exists(path)) // the first message is still in its transaction with the old relay
	release()
	eventually(t, "the first message is sent", func() bool { return !exists(path) })
	is.Equal(len(relay.Messages()), 1)
	is.Equal(len(other.Messages()), 1)
	is.Equal(relay.Connections(), 1)
	d.stop()
}

// The host gets a new certificate authority while the daemon runs. The daemon trusts the authority after SIGHUP.
func TestReloadReadsTheAuthoritiesOfTheSystem(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SSL_CERT_FILE is for some systems only")
	}
	is := is.New(t)
	dir, spool := t.TempDir(), t.TempDir()
	pair, _ := smtptest.Certificate(t, "127.0.0.1")
	cert, _ := writePair(t, dir, "relay", pair)
	other, _ := keyPair(t, dir, "other")
	text, err := os.ReadFile(cert)
	is.NoErr(err)
	relay := &smtptest.Relay{Ext: []string{"STARTTLS"}, TLS: &tls.Config{Certificates: []tls.Certificate{pair}}}
	path := drop(t, spool, "one.eml", mail("To: you@example.net"))
	d := startWith(t, []string{"SSL_CERT_FILE=" + other, "SSL_CERT_DIR=" + t.TempDir()},
		"-smtpaddr", relay.Listen(t), "-smtptls", "starttls", "-freq", "100ms", spool)
	d.logs("unknown authority", 1)
	is.True(exists(path))
	bundle, err := os.ReadFile(other)
	is.NoErr(err)
	rewrite(t, other, string(bundle)+string(text))
	d.signal(syscall.SIGHUP)
	eventually(t, "the message is sent", func() bool { return !exists(path) })
	is.True(relay.Messages()[0].TLS)
	d.stop()
}

func TestReloadWithAMistakeChangesNothing(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{}
	spool, relays := t.TempDir(), filepath.Join(t.TempDir(), "relays")
	good := "smtpaddr " + relay.Listen(t)
	rewrite(t, relays, "# none")
	file := configured(t, good)
	d := start(t, "-config", file, "-relays", relays, "-freq", "100ms", spool)
	d.logs("msg=started", 1)
	errors := 0
	for _, c := range []struct {
		lines   []string
		routes  string
		mention string
	}{
		{[]string{"smtpadr 127.0.0.1:1"}, "", `line 1: unknown key \"smtpadr\": is it smtpaddr?`},
		{[]string{"smtpaddr 127.0.0.1"}, "", ":1: smtpaddr: relay"},
		{[]string{"smtpaddr 127.0.0.1:1", "freq never"}, "", ":2: freq: want a time"},
		{[]string{"smtpaddr 127.0.0.1:1", "smtpca /nowhere.pem"}, "", "-smtpca: open /nowhere.pem"},
		{[]string{"smtpaddr 127.0.0.1:1"}, "ann@example.com", "there are no relays"},
		{[]string{"smtpaddr 127.0.0.1:1", "json /elsewhere.js"}, "", ":2: json has changed; that needs a restart of the daemon"},
		{[]string{"smtpaddr 127.0.0.1:1", "logjson"}, "", ":2: logjson has changed"},
		{[]string{"smtpaddr 127.0.0.1:1", "once"}, "", ":2: once has changed"},
	} {
		rewrite(t, file, c.lines...)
		rewrite(t, relays, c.routes)
		d.signal(syscall.SIGHUP)
		errors++
		d.logs("reload failed; nothing changed", errors)
		is.True(strings.Contains(d.log.String(), c.mention))           // the log names the mistake
		is.Equal(strings.Count(d.log.String(), "level=ERROR"), errors) // the error is logged once
		path := drop(t, spool, fmt.Sprintf("%d.eml", errors), mail("To: ann@example.com"))
		eventually(t, "mail is sent with the old settings", func() bool { return !exists(path) })
	}
	is.Equal(len(relay.Messages()), errors)
	d.stop()
}

// TestReloadAfterAPause has an edited status file and a configuration with a mistake: neither has effect without the
// other.
func TestReloadAfterAPause(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, open := deferring("451 4.2.1 not now")
	spool := t.TempDir()
	path, js := drop(t, spool, "one.eml", mail("To: ann@example.com")), filepath.Join(spool, ".spoolgore.js")
	file := configured(t, "smtpaddr "+relay.Listen(t))
	d := start(t, "-config", file, "-freq", "100ms", spool)
	d.logs("delivery deferred", 1)
	d.signal(syscall.SIGTSTP)
	d.logs("msg=paused", 1)
	open()
	writeJSON(t, js, spoolgore.Status{path: {
		From: "app@example.com", Enqueued: time.Now(), To: []spoolgore.Recipient{{Address: "bob@example.com", NextAttempt: time.Now()}},
	}})
	good, err := os.ReadFile(file)
	must(t, err)
	rewrite(t, file, "smtpaddr")
	d.signal(syscall.SIGHUP)
	d.logs("reload failed; nothing changed", 1)
	throughout(t, time.Second, "the pause goes on", func() bool { return len(relay.Messages()) == 0 })
	rewrite(t, file, string(good))
	edited, err := os.ReadFile(js)
	must(t, err)
	must(t, os.WriteFile(js, []byte("{"), 0o600))
	d.signal(syscall.SIGHUP)
	d.logs("reload failed; nothing changed", 2)
	is.Equal(strings.Count(d.log.String(), "options taken over"), 0)
	must(t, os.WriteFile(js, edited, 0o600))
	d.signal(syscall.SIGHUP)
	eventually(t, "the edited message is sent", func() bool { return !exists(path) })
	is.Equal(relay.Messages()[0].To, []string{"bob@example.com"})
	d.stop()
}

func TestReloadTakesTheOnFailCommand(t *testing.T) {
	t.Parallel()
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "RCPT" {
			return "550 no"
		}
		return ""
	}}
	dir, spool := t.TempDir(), t.TempDir()
	addr := relay.Listen(t)
	file := configured(t, "smtpaddr "+addr, "bounce no")
	d := start(t, "-config", file, "-freq", "100ms", spool)
	drop(t, spool, "one.eml", mail("To: ann@example.com"))
	d.logs("kept in failed", 1)
	rewrite(t, file, "smtpaddr "+addr, "bounce no", "onfail touch "+dir+"/called")
	d.signal(syscall.SIGHUP)
	d.logs("options taken over", 1)
	drop(t, spool, "two.eml", mail("To: ann@example.com"))
	eventually(t, "the command is run", func() bool { return exists(filepath.Join(dir, "called")) })
	d.stop()
}

// TestReloadUnderLoad sends many messages while the relay changes all the time: each message is accepted once.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	const n = 300
	relays := []*smtptest.Relay{{Ext: []string{"PIPELINING", "CHUNKING"}}, {}}
	addrs := []string{relays[0].Listen(t), relays[1].Listen(t)}
	spool, file := t.TempDir(), configured(t, "smtpaddr "+addrs[0])
	for i := range n {
		drop(t, spool, fmt.Sprintf("%d.eml", i), mail(fmt.Sprintf("To: %d@example.com", i)))
	}
	d := start(t, "-config", file, "-freq", "100ms", spool)
	d.logs("msg=started", 1)
	got := func() (to []string) {
		for _, r := range relays {
			for _, m := range r.Messages() {
				to = append(to, m.To...)
			}
		}
		return to
	}
	for i := 0; len(got()) < n/2; i++ {
		rewrite(t, file, "smtpaddr "+addrs[i%2], fmt.Sprint("concurrency ", 1+i%3), "rate 100/s")
		d.signal(syscall.SIGHUP)
		d.logs("options taken over", i+1)
	}
	rewrite(t, file, "smtpaddr "+addrs[1])
	d.signal(syscall.SIGHUP)
	eventually(t, "every message is sent", func() bool { return len(got()) >= n })
	d.stop()
	once := make(map[string]bool)
	for _, to := range got() {
		is.True(!once[to]) // no recipient gets a second copy
		once[to] = true
	}
	is.Equal(len(once), n)
	is.Equal(strings.Count(d.log.String(), "attempt=2"), 0)
}
