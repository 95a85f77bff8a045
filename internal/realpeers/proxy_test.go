package realpeers

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/proxydial"
)

// throughProxy is the number of messages sent through a proxy.
const throughProxy = 300

// A proxy is a proxy program of Debian on loopback.
type proxy struct {
	scheme string
	start  func(t *testing.T, program, port, relayPort string)
}

var proxies = map[string]proxy{
	"microsocks": {"socks5", startMicrosocks},
	"tinyproxy":  {"http", startTinyproxy},
}

// proxyProgram returns the path of a proxy, or skips the test.
func proxyProgram(t *testing.T, name string) string {
	path, err := filepath.Abs("../../.ci/proxies/usr/bin/" + name)
	is.New(t).NoErr(err)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if path, err = exec.LookPath(name); err != nil {
		t.Skip(name + " is not there: .ci/full unpacks it into .ci/proxies")
	}
	return path
}

// startProgram runs a program in the foreground until the test ends.
func startProgram(t *testing.T, args ...string) {
	is := is.New(t)
	log, err := os.Create(filepath.Join(t.TempDir(), "output"))
	is.NoErr(err)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	is.NoErr(cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			logTail(t, log.Name())
		}
	})
}

func startMicrosocks(t *testing.T, program, port, _ string) {
	startProgram(t, program, "-i", "127.0.0.1", "-p", port, "-u", user, "-P", password)
}

// startTinyproxy starts a proxy that allows connections to the port of the relay only.
func startTinyproxy(t *testing.T, program, port, relayPort string) {
	conf := filepath.Join(newHome(t), "tinyproxy.conf")
	writeFile(t, conf, fmt.Appendf(nil, "Port %s\nListen 127.0.0.1\nMaxClients 100\nTimeout 600\nConnectPort %s\n"+
		"BasicAuth %s %s\n", port, relayPort, user, proxyPassword))
	startProgram(t, program, "-d", "-c", conf)
}

// proxyPassword is a password without a space, which the configuration of tinyproxy cannot hold.
const proxyPassword = "s3cret"

// TestProxiesCarryMail sends mail with STARTTLS and a login through a proxy that needs a login of its own. A wrong
// password for the proxy is relay trouble: no message is given up.
func TestProxiesCarryMail(t *testing.T) {
	for name, p := range proxies {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			program := proxyProgram(t, name)
			c := newCerts(t)
			server := startGoSMTP(t, c)
			_, relayPort, err := net.SplitHostPort(server.addr)
			is.NoErr(err)
			port := freePort(t)
			p.start(t, program, port, relayPort)
			eventually(t, "the proxy listens", func() bool {
				conn, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err == nil {
					_ = conn.Close()
				}
				return err == nil
			})
			var mails []mail
			for n := range throughProxy {
				mails = append(mails, newMail(n))
			}
			login := spoolgore.SMTP{TLS: "starttls", User: user, Password: password}
			sendOver(t, p.dial(t, port, true), mails, server.addr, c, login)
			is.Equal(len(compare(mails, server.copies(t))), 0) // each message arrived once and unchanged
			refusedByProxy(t, p.dial(t, port, false), server.addr)
		})
	}
}

// dial returns the dial function of the proxy with the right or a wrong password.
func (p proxy) dial(t *testing.T, port string, right bool) dialFunc {
	word := map[string]string{"socks5": strings.NewReplacer(" ", "%20", ",", "%2C").Replace(password), "http": proxyPassword}[p.scheme]
	if !right {
		word = "wrong"
	}
	dial, err := proxydial.New(proxydial.Settings{Proxy: p.scheme + "://" + user + ":" + word + "@127.0.0.1:" + port})
	is.New(t).NoErr(err)
	return dial
}

// refusedByProxy offers a message through a proxy that refuses the login.
func refusedByProxy(t *testing.T, dial dialFunc, addr string) {
	is := is.New(t)
	dir := t.TempDir()
	s := spoolgore.New(dir, spoolgore.Options{SMTPAddr: addr, Dial: dial, Logger: slog.New(slog.DiscardHandler)})
	fill(t, s, dir, []mail{newMail(0)})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { _ = s.Run(ctx) }()
	eventually(t, "the relay cannot be used", func() bool {
		h := s.Health()
		return len(h.Relays) > 0 && h.Relays[0].Trouble != ""
	})
	t.Log(s.Health().Relays[0].Trouble)
	for _, m := range s.Status() {
		is.Equal(m.Attempts, 0) // the message waits
	}
	cancel()
	eventually(t, "the spool is stopped", func() bool { return !s.Health().Running })
	is.Equal(len(files(t, dir)), 1)
}

// files returns the names of the messages in a spool.
func files(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	is.New(t).NoErr(err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".eml") {
			names = append(names, e.Name())
		}
	}
	return names
}
