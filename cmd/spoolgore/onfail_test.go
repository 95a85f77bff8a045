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

func TestOnFailAndReport(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && strings.HasSuffix(arg, "@example.org") {
			return "550 5.1.1 no such user"
		}
		return ""
	}}
	spool, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	evil := `"$(touch pwned)';x"@example.org`
	drop(t, spool, "one.eml", "X-Spoolgore-Envelope: {\"from\":\"app@example.com\",\"to\":[\"bob@example.org\",\"ann@example.com\","+
		"\"\\\"$(touch pwned)';x\\\"@example.org\"]}\n"+mail("To: x@example.com"))
	d := start(t, "-smtpaddr", relay.Listen(t), "-once", "-onfail",
		`printf '%s\n' "$SPOOLGORE_FILE" "$SPOOLGORE_WHY" "$SPOOLGORE_FROM" "$SPOOLGORE_TO" "$SPOOLGORE_REASON" "$SPOOLGORE_MESSAGE_ID" >`+out+`; echo done`, spool)
	is.Equal(d.exit(), 0)
	text, err := os.ReadFile(out)
	is.NoErr(err)
	failed := filepath.Join(spool, "failed", "one.eml")
	is.Equal(strings.Split(strings.TrimSpace(string(text)), "\n"), []string{
		failed, failed + ".json", "app@example.com", "bob@example.org", evil,
		"bob@example.org: rcpt: 550 5.1.1 no such user (and 1 more recipients)", "<1@example.com>",
	})
	d.logs("output=done", 1)
	is.True(!exists("pwned")) // text of a message is not executed
	got := relay.Messages()
	is.Equal(len(got), 2)
	is.Equal(got[1].From, "") // the report
	is.Equal(got[1].To, []string{"app@example.com"})
	is.True(strings.Contains(string(got[1].Data), "multipart/report"))
}
