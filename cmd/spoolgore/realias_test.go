//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/sentlog"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// Mail for root that failed before the alias file named a person goes to that person, and to no recipient that has
// accepted it.
func TestRetryAppliesAliasesAgain(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{Reply: func(verb, line string) string {
		if verb == "RCPT" && strings.Contains(line, "@web1.example") {
			return "550 5.1.1 no such user here"
		}
		return ""
	}}
	spool, table := t.TempDir(), filepath.Join(t.TempDir(), "aliases")
	must(t, os.WriteFile(table, []byte("root: admin, ann@example.org\nadmin: you@example.com\n"+
		"log: /var/log/mail\nprog: |/bin/false x@unrelated.example\nvoid: /dev/null\n"), 0o600))
	conf := configured(t, "dir "+spool, "domain web1.example", "aliases "+table)
	for name, to := range map[string]string{
		"root": "root@web1.example, ann@example.org", "log": "log@web1.example", "prog": "prog@web1.example",
		"void": "void@web1.example", "other": "other@web1.example",
	} {
		drop(t, spool, name, mail("From: cron@web1.example", "To: "+to, "Message-ID: <"+name+"@web1.example>"))
	}
	d := start(t, "-smtpaddr", relay.Listen(t), "-bounce=false", spool)
	failed := func() int { return len(strings.Fields(names(t, "-failed", spool))) }
	eventually(t, "five messages failed", func() bool { return failed() == 5 })
	is.Equal(len(relay.Messages()), 1) // to ann

	code, out, errs := command("", "retry", "-config", conf, "-realias", "-failed")
	is.True(code != 0)
	is.True(strings.Contains(out, "2 messages")) // the message to root, and the message to other, which is no alias
	for _, want := range []string{
		"failed/log: log@web1.example: ", "a file is not supported as a recipient", "failed/prog: prog@web1.example: ",
		"a command is not supported as a recipient", "failed/void: all recipients left are aliases for /dev/null",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is missing in %s", want, errs)
		}
	}
	eventually(t, "the mail for root arrives", func() bool { return len(relay.Messages()) == 2 })
	is.Equal(relay.Messages()[1].To, []string{"you@example.com"}) // ann has it already
	eventually(t, "the message to other failed again", func() bool { return failed() == 4 })
	for _, line := range relay.Commands() {
		is.True(!strings.Contains(line, "unrelated.example"))
	}
	d.stop()
}

// The log and trace name the address that got the mail in place of the recipients.
func TestRedirectIsInLogAndTrace(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{}
	spool := t.TempDir()
	d := start(t, "-smtpaddr", relay.Listen(t), "-redirect", "qa@example.com", spool)
	drop(t, spool, "m", mail("From: app@example.com", "To: ann@example.org, bob@example.org", "Message-ID: <r1@example.com>"))
	d.logs(" redirect=qa@example.com relay=", 2)
	eventually(t, "the outcomes are in the log of outcomes", func() bool {
		outcomes := 0
		err := sentlog.Read(spool, func(*sentlog.Entry) error { outcomes++; return nil })
		return err == nil && outcomes == 2
	})
	for _, query := range []string{"ann@example.org", "qa@example.com"} {
		_, out, _ := command("", "trace", spool, query)
		is.True(strings.Contains(out, "delivered   ann@example.org: ")) // the recipient of the message
		is.True(strings.Contains(out, ", redirected to qa@example.com, relay 127.0.0.1:"))
	}
	d.stop()
}

// A message that -allow holds has its own log message.
func TestHeldByAllowIsInTheLog(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{}
	spool := t.TempDir()
	d := start(t, "-smtpaddr", relay.Listen(t), "-allow", "@corp.example", spool)
	drop(t, spool, "m", mail("From: app@corp.example", "To: ann@corp.example, bob@example.org"))
	d.logs(`msg="message held, as a recipient is not allowed" file=m`, 1)
	is.True(strings.Contains(d.log.String(), "held: mail to bob@example.org is not allowed"))
	is.True(!strings.Contains(d.log.String(), "file cannot be sent"))
	d.stop()
	is.Equal(len(relay.Messages()), 0)
}
