//go:build linux

package callers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// patience is the limit for a message to arrive.
const patience = 5 * time.Minute

// TestCallers runs the programs of testdata, one after the other, on one host with one daemon.
func TestCallers(t *testing.T) {
	needNamespaces(t)
	is := is.New(t)
	files, err := filepath.Glob("testdata/*.txtar")
	is.NoErr(err)
	is.True(len(files) > 0)
	h := newHost(t)
	relay := &smtptest.Relay{Ext: []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE"}}
	h.startDaemon(t, relay.Listen(t))
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			dir, want := unpack(t, file)
			seen := len(relay.Messages())
			if out, err := h.command(dir).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			h.wait(t, func() bool { return len(relay.Messages()) >= seen+len(want) })
			compare(t, relay.Messages()[seen:], want)
		})
	}
}

// unpack writes the files of a caller to a directory. It returns the directory and the patterns of the expected
// messages.
func unpack(t *testing.T, file string) (dir string, want []string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for _, f := range archive.Files {
		switch {
		case f.Name == "needs":
			need(t, strings.Fields(string(f.Data))...)
		case strings.HasPrefix(f.Name, "arrives"):
			want = append(want, string(f.Data))
		default:
			if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(want) == 0 {
		t.Fatalf("%s: no expected messages", file)
	}
	return dir, want
}

// startDaemon runs spoolgore on the spool until the end of the test.
func (h *host) startDaemon(t *testing.T, relay string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(h.bin, "spoolgore"), "-config", filepath.Join(h.etc, "spoolgore.conf"),
		"-smtpaddr", relay, "-localname", "host.example", "-listen", "0", h.spool)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("log of the daemon:\n%s", text)
		}
	})
	for end := time.Now().Add(patience); h.smtpPort == ""; time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(log.Name())
		if found := listening.FindSubmatch(text); found != nil {
			h.smtpPort = string(found[1])
		} else if time.Now().After(end) {
			t.Fatal("no SMTP server")
		}
	}
}

// listening matches the log line with the port of the SMTP server.
var listening = regexp.MustCompile(`SMTP server started.* addr=127\.0\.0\.1:(\d+)`)

// wait waits until arrived returns true and the spool has no message.
func (h *host) wait(t *testing.T, arrived func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		left, err := filepath.Glob(filepath.Join(h.spool, "*.eml"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 && arrived() {
			return
		}
		if time.Now().After(end) {
			t.Errorf("waited %v; in the spool: %v", patience, left)
			return
		}
	}
}

// compare fails the test unless the messages match the patterns, in any order.
func compare(t *testing.T, got []smtptest.Message, want []string) {
	t.Helper()
	for _, m := range got {
		text := show(t, m)
		i := slices.IndexFunc(want, func(pattern string) bool { return matches(text, pattern) })
		if i < 0 {
			t.Errorf("this has arrived:\n%s", text)
			continue
		}
		want = slices.Delete(want, i, i+1)
	}
	for _, pattern := range want {
		t.Errorf("this has not arrived:\n%s", pattern)
	}
}

// received is the Received field that sendmail-spool and the SMTP server add.
var received = regexp.MustCompile(`(?m)^Received: from localhost by host\.example \(uid \d+\)\n\t(with \w+ )?id \S+;\n\t.*\n`)

// show writes a message with its envelope in the form of testdata, without the Received field, which every message has.
func show(t *testing.T, m smtptest.Message) string {
	t.Helper()
	if m.BareCR || m.BareLF || !bytes.HasSuffix(m.Data, []byte("\r\n")) {
		t.Errorf("half line ends in %q", m.Data)
	}
	var b strings.Builder
	params := slices.DeleteFunc(slices.Clone(m.MailParams), func(p string) bool { return strings.HasPrefix(p, "SIZE=") })
	fmt.Fprintf(&b, "%s\n", strings.TrimSpace("MAIL FROM:<"+m.From+"> "+strings.Join(params, " ")))
	for i, to := range m.To {
		fmt.Fprintf(&b, "%s\n", strings.TrimSpace("RCPT TO:<"+to+"> "+m.RcptParams[i]))
	}
	b.WriteString("\n")
	data := strings.ReplaceAll(string(m.Data), "\r\n", "\n")
	if n := len(received.FindAllString(data, -1)); n != 1 {
		t.Errorf("%d Received fields in %q", n, data)
	}
	b.WriteString(received.ReplaceAllString(data, ""))
	return b.String()
}

// matches reports whether text matches pattern, in which * stands for any text within a line.
func matches(text, pattern string) bool {
	expr := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `[^\n]*`)
	return regexp.MustCompile(`\A` + expr + `\z`).MatchString(text)
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		text, pattern string
		want          bool
	}{
		{"a.b\n", "a.b\n", true},
		{"axb\n", "a.b\n", false},
		{"Date: now\nx\n", "Date: *\nx\n", true},
		{"Date: now\ny\nx\n", "Date: *\nx\n", false},
		{"a\nb\n", "a\n", false},
		{"b\na\n", "a\n", false},
	} {
		is := is.New(t)
		is.Equal(matches(test.text, test.pattern), test.want)
	}
}
