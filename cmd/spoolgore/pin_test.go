//go:build unix

package main

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// With the line that pin prints, the daemon trusts a certificate without a known authority, and no other certificate.
func TestPin(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	cert, _ := smtptest.Certificate(t, "127.0.0.1")
	relay := &smtptest.Relay{Ext: []string{"STARTTLS"}, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	addr := relay.Listen(t)
	code, out, errs := command("", "pin", addr)
	is.Equal(errs, "")
	is.Equal(code, 0)
	is.True(strings.Contains(out, "certificate  for 127.0.0.1\n"))
	is.True(strings.Contains(out, "trusted here no: x509: "))
	_, line, ok := strings.Cut(out, "\nsmtppin ")
	is.True(ok)
	for _, command := range relay.Commands() {
		is.True(!strings.HasPrefix(command, "AUTH") && !strings.HasPrefix(command, "MAIL"))
	}

	spool := t.TempDir()
	d := start(t, "-config", configured(t, "smtppin "+strings.TrimSpace(line), "smtpaddr "+addr), spool)
	drop(t, spool, "m", mail("From: a@example.com", "To: b@example.org"))
	d.logs("msg=delivered", 1)
	is.True(relay.Messages()[0].TLS)
	d.stop()

	plain := &smtptest.Relay{}
	code, _, errs = command("", "pin", plain.Listen(t))
	is.True(code != 0)
	is.True(strings.Contains(errs, "spoolgore: pin: "))
	is.True(strings.Contains(errs, ":465")) // the port on which TLS begins with the first byte
	code, _, errs = command("", "pin", "127.0.0.1:1")
	is.True(code != 0)
	is.True(strings.Contains(errs, "spoolgore pin 127.0.0.1:465"))
	code, out, errs = command("", "pin", "smtp://ann:secret@mail.example.com")
	is.Equal(code, 64)
	is.True(!strings.Contains(out+errs, "secret")) // an error of the resolver would repeat it
	code, _, _ = command("", "pin")
	is.Equal(code, 64)
}

// A proxy that cannot be reached is trouble of the relay: the mail waits, and the log names the proxy.
func TestProxyThatIsDown(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{}
	addr := relay.Listen(t)
	spool := t.TempDir()
	d := start(t, "-smtpaddr", addr, "-smtpproxy", "socks5://127.0.0.1:1", spool)
	drop(t, spool, "m", mail("From: a@example.com", "To: b@example.org"))
	d.logs("proxy 127.0.0.1:1: ", 1)
	is.Equal(len(relay.Messages()), 0)
	d.stop()
	d = start(t, "-smtpaddr", addr, "-smtpsource", "127.0.0.1", spool)
	d.logs("msg=delivered", 1)
	d.stop()
	r := operate(t, "-smtpproxy", "127.0.0.1:1080", spool) // in a process of its own: the daemon executes itself again
	is.True(r.code != 0)
	is.True(strings.Contains(r.err, "as socks5://HOST:PORT"))
	_, out, _ := command("", "-printconfig", "-smtpproxy", "http://u:secret@p:1", spool)
	is.True(strings.Contains(out, "http://***@p:1") && !strings.Contains(out, "secret"))
}

// Arguments are escaped before they are printed on the terminal.
func TestUsageErrorsAreEscaped(t *testing.T) {
	t.Parallel()
	const evil = "\x1b]0;x\a\x1b[2J"
	for _, args := range [][]string{{"-x" + evil}, {evil, "other"}, {"list", "-x" + evil},
		{"put", "-x" + evil}, {"-config", "/no" + evil}, {"-rate", evil, "spool"}} {
		code, out, errs := command("", args...)
		if code == 0 || strings.ContainsAny(out+errs, "\x1b\a") || !strings.Contains(errs, `\x1b[2J`) {
			t.Errorf("%q: %d %q %q", args, code, out, errs)
		}
	}
}
