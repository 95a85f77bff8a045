//go:build unix

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// A spool that is moved as docs/operating.md says loses no mail, and no recipient gets a second copy, whether the times
// of files are kept or not.
func TestMovedSpool(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"tar":   `mkdir "$1" && tar -C "$0" -cf - . | tar -C "$1" -xf -`,
		"cp -r": `cp -r "$0" "$1"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			first := &smtptest.Relay{Reply: func(verb, arg string) string {
				switch {
				case verb == "RCPT" && strings.Contains(arg, "later"):
					return "450 4.2.1 <later@example.org> mailbox full"
				case verb == "RCPT" && strings.Contains(arg, "never"):
					return "550 5.1.1 unknown"
				}
				return ""
			}}
			old := filepath.Join(t.TempDir(), "old")
			must(t, exec.Command("mkdir", old).Run())
			d := start(t, "-bounce=false", "-smtpaddr", first.Listen(t), old)
			drop(t, old, "known", mail("From: app@example.com", "To: ann@example.org, later@example.org"))
			drop(t, old, "plain", "From: app@example.com\nTo: bob@example.org, later@example.org\n\nno Message-ID\n")
			drop(t, old, "refused", mail("From: app@example.com", "To: eve@example.org, never@example.org", "Message-ID: <f@x>"))
			d.logs("delivery deferred", 2)
			d.logs("kept in failed", 1)
			d.stop() // step 1
			is.Equal(len(first.Messages()), 3)
			moved := filepath.Join(t.TempDir(), "new")
			out, err := exec.Command("sh", "-c", line, old, moved).CombinedOutput() // step 2
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			second := &smtptest.Relay{}
			d = start(t, "-bounce=false", "-smtpaddr", second.Listen(t), moved)
			d.logs("started", 1)
			code, _, _ := command("", "flush", moved)
			is.Equal(code, 0)
			d.logs("msg=delivered", 2)
			code, _, _ = command("", "retry", "-failed", "-all", moved)
			is.Equal(code, 0)
			d.logs("msg=delivered", 3)
			d.stop()
			var got []string
			for _, m := range second.Messages() {
				got = append(got, m.To...)
			}
			// Ann, bob and eve get no second copy.
			is.Equal(strings.Count(strings.Join(got, " "), "later@example.org"), 2)
			is.Equal(strings.Count(strings.Join(got, " "), "never@example.org"), 1)
			is.Equal(len(got), 3)
			is.Equal(len(filesIn(t, moved)), 0)
		})
	}
}
