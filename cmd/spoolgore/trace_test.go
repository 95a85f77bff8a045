//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/sentlog"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// traceRelay accepts mail for ann, refuses bob for good and defers eve.
func traceRelay(t *testing.T) *smtptest.Relay {
	t.Helper()
	relay := &smtptest.Relay{Reply: func(verb, line string) string {
		switch {
		case verb == "RCPT" && strings.Contains(line, "bob@"):
			return "550 5.1.1 <bob@example.org> unknown 7F3A"
		case verb == "RCPT" && strings.Contains(line, "eve@"):
			return "452 4.2.2 mailbox full 7F3B"
		}
		return ""
	}}
	return relay
}

// Trace finds mail by Message-ID, address and name, also when the file is gone and the daemon was killed.
func TestTraceOfDeliveredFailedAndWaitingMail(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := traceRelay(t)
	spool := t.TempDir()
	d := start(t, "-smtpaddr", relay.Listen(t), "-bounce=false", spool)
	drop(t, spool, "m.eml", mail("From: app@example.com", "To: ann@example.org, bob@example.org", "Cc: eve@example.org",
		"Message-ID: <order-42@example.com>"))
	d.logs("delivery deferred", 1)
	var out string
	eventually(t, "the outcomes are in the log of outcomes", func() bool {
		outcomes := 0
		err := sentlog.Read(spool, func(*sentlog.Entry) error { outcomes++; return nil })
		_, out, _ = command("", "trace", spool, "order-42@example.com")
		// the deferred message is in the status file
		return err == nil && outcomes == 2 && strings.Contains(out, "7F3B")
	})
	must(t, d.cmd.Process.Kill()) // SIGKILL
	d.exit()
	for _, query := range []string{"order-42@example.com", "<order-42@example.com>", "app@example.com", "m.eml"} {
		_, out, _ = command("", "trace", spool, query)
		for _, want := range []string{
			"m.eml (in the spool)", "order-42@example.com", "uid " + strconv.Itoa(os.Getuid()),
			"delivered   ann@example.org", "failed      bob@example.org", "eve@example.org: ", "7F3A", "7F3B", "next attempt",
			"250 ", "relay 127.0.0.1:",
		} {
			is.True(strings.Contains(out, want)) // the outcome and the reply of each recipient
		}
		// once, although both the outcome log and the status file have it
		is.Equal(strings.Count(out, "ann@example.org"), 1)
	}
	_, out, _ = command("", "trace", spool, "ann@example.org")
	is.True(strings.Contains(out, "ann@example.org") && !strings.Contains(out, "eve@"))
	must(t, os.Remove(filepath.Join(spool, "m.eml")))
	_, out, _ = command("", "trace", spool, "m.eml")
	is.True(strings.Contains(out, "no longer in the spool"))
	is.True(strings.Contains(out, "delivered   ann@example.org"))
	code, out, _ := command("", "trace", "-json", spool, "order-42@example.com")
	is.Equal(code, 0)
	var e sentlog.Entry
	is.NoErr(json.Unmarshal([]byte(strings.Split(out, "\n")[0]), &e))
	is.Equal(e.Outcome, sentlog.Sent)
	is.True(e.Addr != "" && e.Reply != "" && !e.Since.IsZero())
	code, _, errs := command("", "trace", spool, "unknown@example.org")
	is.Equal(code, 1)
	is.True(strings.Contains(errs, "nothing is known of unknown@example.org"))
}

// With -shortaddresses neither the log nor the file of outcomes has a whole address, and trace finds the mail.
func TestShortAddresses(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := traceRelay(t)
	spool := t.TempDir()
	d := start(t, "-shortaddresses", "-verbose", "-bounce=false", "-smtpaddr", relay.Listen(t), spool)
	drop(t, spool, "m", mail("From: app@example.com", "To: ann@example.org, bob@example.org, eve@example.org",
		"Message-ID: <order-43@example.com>"))
	d.logs("delivery deferred", 1)
	eventually(t, "the outcomes are in the log of outcomes", func() bool {
		_, out, _ := command("", "trace", spool, "ann@example.org")
		return strings.Contains(out, "a…@example.org")
	})
	d.stop()
	text, err := os.ReadFile(filepath.Join(spool, ".spoolgore.sent"))
	is.NoErr(err)
	for _, where := range []string{d.log.String(), string(text)} {
		is.True(strings.Contains(where, "order-43@example.com")) // the Message-ID is not shortened
		is.True(strings.Contains(where, "…@example.org"))
		for _, whole := range []string{"ann@", "bob@", "eve@", "app@"} {
			is.True(!strings.Contains(where, whole))
		}
	}
}

// Log lines about a message have its name, its size, its owner, and the address of the relay.
func TestLogLinesOfAMessage(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := traceRelay(t)
	spool := t.TempDir()
	d := start(t, "-smtpaddr", relay.Listen(t), "-bounce=false", spool)
	drop(t, spool, "m", mail("From: app@example.com", "To: ann@example.org, bob@example.org, eve@example.org",
		"Message-ID: <order-44@example.com>"))
	d.logs("delivery deferred", 1)
	d.logs("msg=delivered", 1)
	d.logs("given up", 1)
	d.logs("msg=queued", 1) // one line for all recipients
	for line := range strings.Lines(d.log.String()) {
		switch {
		case strings.Contains(line, "msg=queued"):
			is.True(strings.Contains(line, "to=ann@example.org,bob@example.org,eve@example.org recipients=3"))
		case strings.Contains(line, "order-44"):
			is.True(strings.Contains(line, "addr=127.0.0.1:"))
			is.True(strings.Contains(line, "age="))
		default:
			continue
		}
		is.True(strings.Contains(line, "message-id=order-44@example.com") || strings.Contains(line, `message-id="<order-44`) ||
			strings.Contains(line, "message-id=<order-44"))
		is.True(strings.Contains(line, "size="))
		is.True(strings.Contains(line, "uid="+strconv.Itoa(os.Getuid())))
	}
}
