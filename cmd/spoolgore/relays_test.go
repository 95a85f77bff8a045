//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// write makes a file in dir and returns its name.
func write(t *testing.T, dir, name, text string, mode os.FileMode) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	must(t, os.Chmod(path, mode)) // whatever the umask
	return path
}

// login is a relay on loopback that accepts mail only after a login as the user.
func login(user, password string) *smtptest.Relay {
	return &smtptest.Relay{Ext: []string{"AUTH LOGIN CRAM-MD5 PLAIN", "PIPELINING"}, Users: map[string]string{user: password}}
}

// checkDelivered compares the user and the sender of each message that a relay got, in order.
func checkDelivered(t *testing.T, relay *smtptest.Relay, want ...string) {
	t.Helper()
	var got []string
	for _, m := range relay.Messages() {
		got = append(got, m.User+" "+m.From)
	}
	is.New(t).Equal(got, want) // user and sender of each message
}

func TestRelaysFile(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	ann, domain, rest := login("ann", "se cret 1"), login("shop", "se-cret-2"), login("app", "se cret 3")
	dir, spool := t.TempDir(), t.TempDir()
	write(t, dir, "shop.password", "se-cret-2\n", 0o600)
	relays := write(t, dir, "relays", fmt.Sprintf(`# who through what
ann@example.org %s user=ann password="se cret 1"

@example.org    %s user=shop passwordfile=shop.password auth=cram-md5
`, ann.Listen(t), domain.Listen(t)), 0o644)
	for i, from := range []string{"app@example.com", "Ann@Example.org", "bob@example.org", "ann@sub.example.org"} {
		drop(t, spool, fmt.Sprint(i), strings.Replace(mail("To: you@example.net"), "app@example.com", from, 1))
	}
	d := startWith(t, []string{"SPOOLGORE_SMTPPASSWORD=se cret 3"}, "-once", "-verbose", "-relays", relays, "-smtpaddr", rest.Listen(t), "-smtpuser", "app", spool)
	is.Equal(d.exit(), 0) // all messages were sent
	checkDelivered(t, ann, "ann Ann@Example.org")
	checkDelivered(t, domain, "shop bob@example.org")
	is.Equal(len(rest.Messages()), 2) // senders without a route of their own
	for _, m := range rest.Messages() {
		is.Equal(m.User, "app") // with the login of the flags
	}
	is.True(strings.Contains(strings.Join(domain.Commands(), "\n"), "AUTH CRAM-MD5")) // the mechanism of the line
	log := d.log.String()
	// the warning is logged once
	is.Equal(strings.Count(log, "relays file with passwords can be read by every user of this host"), 1)
	// no password in the log
	is.True(!strings.Contains(log, "cret"))
}

// TestPasswordCommandIsRunAgain has a command that prints a password that the relay refuses, and then the right
// password.
func TestPasswordCommandIsRunAgain(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, spool := login("user", "se-cret-new"), t.TempDir()
	runs := filepath.Join(t.TempDir(), "runs")
	command := fmt.Sprintf(`echo "asked by $0" >&2; if [ -e '%[1]s' ]; then echo se-cret-new; else echo se-cret-old; fi; echo >>'%[1]s'`, runs)
	path := drop(t, spool, "one", mail("To: you@example.net"))
	d := start(t, "-verbose", "-smtpaddr", relay.Listen(t), "-smtpuser", "user", "-smtppasswordcmd", command, spool)
	eventually(t, "the message is sent", func() bool { return !exists(path) })
	d.stop()
	checkDelivered(t, relay, "user app@example.com")
	text, err := os.ReadFile(runs)
	is.NoErr(err)
	is.Equal(string(text), "\n\n") // the command ran twice: the second time after the refusal
	log := d.log.String()
	is.Equal(strings.Count(log, "asked by /bin/sh"), 2) // standard error of the command is logged
	is.True(!strings.Contains(log, "cret"))             // neither standard output nor the command is logged
}

func TestPasswordFileThatComesLater(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, spool, dir := login("user", "se-cret"), t.TempDir(), t.TempDir()
	path := drop(t, spool, "one", mail("To: you@example.net"))
	d := start(t, "-smtpaddr", relay.Listen(t), "-smtpuser", "user", "-smtppasswordfile", filepath.Join(dir, "password"), spool)
	d.logs("password cannot be read; retrying at each login", 1)
	d.logs("relay unavailable", 1)
	is.Equal(len(relay.Messages()), 0) // no message without a login
	write(t, dir, "password", "se-cret\n", 0o644)
	eventually(t, "the message is sent", func() bool { return !exists(path) })
	d.stop()
	checkDelivered(t, relay, "user app@example.com")
	// the warning is logged once
	is.Equal(strings.Count(d.log.String(), "password file can be read by every user of this host"), 1)
	// no password in the log
	is.True(!strings.Contains(d.log.String(), "se-cret"))
}

func TestWhereThePasswordComesFrom(t *testing.T) {
	t.Parallel()
	credentials := t.TempDir()
	write(t, credentials, "smtppassword", "se-cret\n", 0o400)
	// A command does not inherit the credentials of the daemon: the command line names the file.
	command := `test -z "$CREDENTIALS_DIRECTORY" && cat '` + filepath.Join(credentials, "smtppassword") + "'"
	for name, c := range map[string]struct {
		args, env []string
		warnings  int
	}{
		"command line": {[]string{"-smtpuser", "user", "-smtppassword", "se-cret"}, nil, 1},
		"environment":  {[]string{"-smtpuser", "user"}, []string{"SPOOLGORE_SMTPPASSWORD=se-cret"}, 0},
		"systemd":      {[]string{"-smtpuser", "user"}, []string{"CREDENTIALS_DIRECTORY=" + credentials}, 0},
		"MD5":          {[]string{"-smtpmd5user", "user", "-smtpmd5password", "se-cret"}, nil, 1},
		"command":      {[]string{"-smtpuser", "user", "-smtppasswordcmd", command}, []string{"CREDENTIALS_DIRECTORY=" + credentials}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			relay, spool := login("user", "se-cret"), t.TempDir()
			drop(t, spool, "one", mail("To: you@example.net"))
			d := startWith(t, c.env, append(append([]string{"-once", "-smtpaddr", relay.Listen(t)}, c.args...), spool)...)
			is.Equal(d.exit(), 0) // the message was sent
			checkDelivered(t, relay, "user app@example.com")
			log := d.log.String()
			// the warning is logged once if the password is on the command line
			is.Equal(strings.Count(log, "password on the command line can be seen"), c.warnings)
			// no password in the log
			is.True(!strings.Contains(log, "se-cret"))
			usual := "AUTH PLAIN"
			if name == "MD5" {
				usual = "AUTH CRAM-MD5"
			}
			is.True(strings.Contains(strings.Join(relay.Commands(), "\n"), usual)) // the mechanism
		})
	}
}

func TestSettingsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := keyPair(t, dir, "one")
	_, other := keyPair(t, dir, "other")
	text := write(t, dir, "text", "no PEM\n", 0o600)
	typo := write(t, dir, "typo", "* 127.0.0.1:25\n@x 127.0.0.1:25 usre=u password=se-cret\n", 0o600)
	noPort := write(t, dir, "noport", "* 127.0.0.1:25,nowhere\n", 0o600)
	noCA := write(t, dir, "noca", "\n* 127.0.0.1:25 ca=nowhere\n", 0o600)
	for name, c := range map[string]struct {
		args []string
		say  string
	}{
		"no relays file":     {[]string{"-relays", filepath.Join(dir, "nowhere")}, "-relays: open " + filepath.Join(dir, "nowhere")},
		"typing error":       {[]string{"-relays", typo}, typo + ":2: setting 1: unknown key usre, is it user?"},
		"address of a line":  {[]string{"-relays", noPort}, noPort + `:1: relay \"nowhere\": it is not host:port`},
		"file of a line":     {[]string{"-relays", noCA}, noCA + ":2: ca: open " + filepath.Join(dir, "nowhere")},
		"no authorities":     {[]string{"-smtpca", filepath.Join(dir, "nowhere")}, "-smtpca: open "},
		"authorities no PEM": {[]string{"-smtpca", text}, "-smtpca: " + text + " holds no certificate in PEM"},
		"certificate no PEM": {[]string{"-smtpcert", text, "-smtpkey", key}, "-smtpcert " + text},
		"key of another":     {[]string{"-smtpcert", cert, "-smtpkey", other}, "-smtpkey " + other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			spool := t.TempDir()
			d := start(t, append(c.args, spool)...)
			is.Equal(d.exit(), 78)                                // exit code of a configuration error
			is.True(strings.Contains(d.log.String(), c.say))      // the error names the mistake
			is.True(!strings.Contains(d.log.String(), "se-cret")) // and no password
			is.True(!exists(filepath.Join(spool, "tmp")))         // the daemon did not start
		})
	}
}
