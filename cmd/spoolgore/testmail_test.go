//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// answering listens as a relay that replies to one verb with a text.
func answering(t *testing.T, verb, text string) (*smtptest.Relay, string) {
	t.Helper()
	relay := &smtptest.Relay{Reply: func(v, _ string) string { return map[string]string{verb: text}[v] }}
	return relay, relay.Listen(t)
}

func TestTestCommand(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	_, good := answering(t, "", "")
	_, refusing := answering(t, "RCPT", "550 5.1.1 no such user")
	_, busy := answering(t, "RCPT", "451 4.7.1 greylisted")
	_, silent := answering(t, "CONNECT", "hang")
	_, wrong := answering(t, "AUTH", "535 5.7.8 wrong user or password")
	for name, c := range map[string]struct {
		args string
		code int
		out  string // text in the output
		err  string // text in the errors; empty: no error
	}{
		"accepted":       {"-smtpaddr " + good + " ann@x.org", 0, "accepted    by " + good + ", in the clear: 250 2.0.0 accepted", ""},
		"from":           {"-smtpaddr " + good + " -from me@x.org ann@x.org", 0, "A message from me@x.org to ann@x.org, by " + good, ""},
		"user":           {"-smtpaddr " + wrong + " -smtpuser me@x.org -smtppasswordcmd true ann@x.org", 75, "A message from me@x.org", ""},
		"refused":        {"-smtpaddr " + refusing + " ann@x.org", 69, "the message would go to failed/", ""},
		"put off":        {"-smtpaddr " + busy + " ann@x.org", 75, "A daemon would retry it at ", ""},
		"put off, again": {"-smtpaddr " + busy + " -wait 3s ann@x.org", 75, "deferred", ""},
		"no answer":      {"-smtpaddr " + silent + " -wait 100ms ann@x.org", 75, "No answer within 100ms", ""},
		"nobody there":   {"-smtpaddr 127.0.0.1:1 ann@x.org", 75, "no server listens on that port", ""},
		"no relay":       {"-smtpaddr nowhere ann@x.org", 78, "", "host:port"},
		"no relays file": {"-relays nowhere ann@x.org", 78, "", "-relays"},
		"no directory":   {"ann@x.org " + tmp + "/none", 78, "", "no such file"},
		"nobody":         {"", 64, "", "to which address?"},
		"no address":     {"ann", 64, "", "ann: no domain"},
		"no sender":      {"-from me ann@x.org", 64, "", "want an address, such as app@example.com"},
		"too much":       {"ann@x.org a b", 64, "", "want an address"},
		"unknown flag":   {"-form me ann@x.org", 64, "", "-form"},
		"help":           {"-help", 0, "usage: spoolgore test", ""},
		"version":        {"-version", 0, "spoolgore ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			code, out, errs := command("", append([]string{"test"}, strings.Fields(c.args)...)...)
			is.Equal(code, c.code)
			is.True(strings.Contains(out, c.out))
			is.True(strings.Contains(errs, c.err))
			is.Equal(errs == "", c.err == "") // no other errors
		})
	}
	is := is.New(t)
	left, err := os.ReadDir(tmp)
	is.NoErr(err)
	is.Equal(len(left), 0) // temporary spools are removed
}

func TestTestThroughADaemon(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := t.TempDir()
	relay, addr := answering(t, "RCPT", "")
	code, out, _ := command("", "test", "-from", "me@x.org", "ann@x.org", spool)
	is.Equal(code, 75) // no daemon runs that sends the message
	is.True(strings.Contains(out, "no message was put into it"))
	names, err := os.ReadDir(spool)
	is.NoErr(err)
	is.Equal(len(names), 0) // the message was removed

	d := start(t, "-smtpaddr", addr, spool)
	d.logs("started", 1)
	code, out, errs := command("", "test", "-from", "me@x.org", "-wait", "1m", "ann@x.org", spool)
	is.Equal(code, 0)
	is.Equal(errs, "")
	is.True(strings.Contains(out, "by the daemon of "+spool))
	is.True(strings.Contains(out, "it has left the spool: a relay has accepted it"))
	is.Equal(relay.Messages()[0].To, []string{"ann@x.org"})
}

func TestTestThroughADaemonThatDefersTheMessage(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := t.TempDir()
	_, addr := answering(t, "RCPT", "451 4.7.1 greylisted")
	d := start(t, "-smtpaddr", addr, spool)
	d.logs("started", 1)
	code, out, _ := command("", "test", "-from", "me@x.org", "ann@x.org", spool)
	is.Equal(code, 75)
	for _, text := range []string{"deferred    " + addr + ": rcpt: 451 4.7.1 greylisted", "greylisting", "the daemon goes on with it at ", "To cancel it: rm " + spool} {
		is.True(strings.Contains(out, text)) // the outcome, and what to do
	}
}

// With -once, the command sends everything in the spool, as a daemon does.
func TestTestWithOnce(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := t.TempDir()
	relay, addr := answering(t, "RCPT", "")
	drop(t, spool, "other", mail("To: you@example.net"))
	// A process of its own, as processes that other tests start inherit locks for a moment.
	out := ok(t, "test", "-once", "-smtpaddr", addr, "-from", "me@x.org", "ann@x.org", spool)
	is.True(strings.Contains(out, "with all that is due in "+spool))
	is.True(strings.Contains(out, "accepted    by "+addr))
	is.Equal(len(relay.Messages()), 2) // the test message and the message in the spool

	_, addr = answering(t, "RCPT", "550 5.1.1 no such user")
	hook := filepath.Join(t.TempDir(), "failed")
	r := operate(t, "test", "-once", "-bounce=false", "-onfail", `cp "$SPOOLGORE_FILE" `+hook, "-smtpaddr", addr, "-from", "me@x.org", "ann@x.org", spool)
	is.Equal(r.code, 69)
	is.True(exists(hook)) // -onfail is run, as by a daemon
	is.True(strings.Contains(r.out, "It is in "+filepath.Join(spool, "failed")))
}
