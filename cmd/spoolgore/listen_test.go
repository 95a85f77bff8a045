//go:build unix

package main

import (
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// listening finds the address of the SMTP server in the log, as -listen 0 takes any free port.
var listening = regexp.MustCompile(`SMTP server started.* addr=(\S+)`)

// A program sends a message to the daemon by SMTP. The daemon completes it as sendmail-spool does: a bare name is an
// alias or gets the domain, and Bcc is not sent.
func TestListen(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{Ext: []string{"PIPELINING", "8BITMIME", "SIZE"}}
	spool, dir := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "aliases"), []byte("root: ann@example.org\n"), 0o600))
	file := filepath.Join(dir, "spoolgore.conf")
	must(t, os.WriteFile(file, []byte("domain example.com\naliases "+dir+"/aliases\nmaxsize 10K\nlisten 0\n"), 0o600))
	d := start(t, "-config", file, "-smtpaddr", relay.Listen(t), spool)
	d.logs("SMTP server started", 1)
	addr := listening.FindStringSubmatch(d.log.String())[1]
	const text = "From: app\r\nTo: root\r\nBcc: eve@example.org\r\nSubject: hello\r\n\r\nHello!\r\n"
	is.NoErr(smtp.SendMail(addr, nil, "app@example.com", []string{"root", "bob"}, []byte(text)))
	eventually(t, "the relay has the message", func() bool { return len(relay.Messages()) == 1 })
	got := relay.Messages()[0]
	data := string(got.Data)
	is.Equal(got.From, "app@example.com")
	is.Equal(got.To, []string{"ann@example.org", "bob@example.com"})
	is.True(strings.Contains(data, "\r\nSubject: hello\r\n"))
	is.True(strings.Contains(data, "\r\nReceived: "))
	is.True(strings.Contains(data, "with ESMTP"))
	is.True(!strings.Contains(data, "eve@"))
	err := smtp.SendMail(addr, nil, "app@example.com", []string{"bob"}, []byte(text+strings.Repeat("long\r\n", 2<<10)))
	is.True(err != nil && strings.Contains(err.Error(), "5.3.4"))
	d.stop()
}

// The uid of a program on this host is recorded with the message: the uid decides about turns, and the log and trace
// show it.
func TestListenKnowsTheUserOfAProgram(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can start a program as another user")
	}
	if runtime.GOOS != "linux" {
		t.Skip("the user of a connection is known on Linux only")
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl: ", err)
	}
	is := is.New(t)
	relay := &smtptest.Relay{}
	spool := t.TempDir()
	d := start(t, "-smtpaddr", relay.Listen(t), "-listen", "0", spool)
	d.logs("SMTP server started", 1)
	addr := listening.FindStringSubmatch(d.log.String())[1]
	cmd := asUser(curl, 65533, addr)
	text, err := cmd.CombinedOutput()
	is.NoErr(err)
	is.Equal(string(text), "")
	eventually(t, "the relay has the message", func() bool { return len(relay.Messages()) == 1 })
	d.logs("delivered", 1)
	is.True(strings.Contains(d.log.String(), "uid=65533"))
	is.True(!strings.Contains(string(relay.Messages()[0].Data), "Spoolgore-Envelope")) // the envelope line is not sent
	d.stop()
}

// asUser returns a command that sends a message by SMTP as another user.
func asUser(curl string, uid uint32, addr string) *exec.Cmd {
	cmd := exec.Command(curl, "-sS", "smtp://"+addr, "--mail-from", "app@example.com", "--mail-rcpt", "bob@example.com", "-T", "-")
	cmd.Stdin, cmd.Dir = strings.NewReader("Subject: hello\r\n\r\nHello!\r\n"), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}

// On a shared spool, a user of this host has a quota by the user id of the connection.
func TestListenLimitsTheMessagesOfAUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("only root can start a program as another user, and only Linux knows the user of a connection")
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl: ", err)
	}
	is := is.New(t)
	relay, _ := deferring("451 4.2.1 not now")
	spool := t.TempDir()
	file := configured(t, "userfiles 2", "listen 0", "smtpaddr "+relay.Listen(t))
	start := func() (*daemon, string) {
		d := start(t, "-config", file, spool)
		d.logs("SMTP server started", 1)
		return d, listening.FindStringSubmatch(d.log.String())[1]
	}
	d, addr := start()
	for range 2 {
		is.NoErr(asUser(curl, 65533, addr).Run())
	}
	is.True(asUser(curl, 65533, addr).Run() != nil)
	is.Equal(len(strings.Fields(names(t, spool))), 2)
	is.NoErr(asUser(curl, 65532, addr).Run()) // another user
	is.NoErr(asUser(curl, 0, addr).Run())     // root
	d.stop()
	d, addr = start()
	eventually(t, "the messages from before the start count", func() bool {
		before := len(strings.Fields(names(t, spool)))
		err := asUser(curl, 65533, addr).Run()
		return err != nil && len(strings.Fields(names(t, spool))) == before
	})
	d.stop()
}

func TestListenOnTheAddressOfTheRelayIsAnError(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	for args, want := range map[string]string{
		"-listen 25":                          "round in circles",
		"-listen 0.0.0.0:2525":                "-listenuser",
		"-listenuser /no/such/file":           "-listen, which is not set",
		"-listen 2525 -listencert /c":         "one without the other",
		"-listen 2525 -listenuser /no/such/f": "no such file",
	} {
		d := start(t, append(strings.Fields(args), t.TempDir())...)
		code := d.exit()
		is.True(code == 78 || code == 64)
		is.True(strings.Contains(d.log.String(), want))
	}
}
