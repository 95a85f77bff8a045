package spoolgore

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// readdressed gives the message in a file other recipients, as the command redirect does.
func readdressed(t *testing.T, dir, sub, name string, to ...string) {
	t.Helper()
	text := contentOf(t, dir, filepath.Join(sub, name))
	h, err := message.ReadHeader(strings.NewReader(text), int64(len(text)))
	check(t, err)
	front, err := message.Readdress(h, to, time.Now())
	check(t, err)
	d, err := spooldir.New(dir)
	check(t, err)
	id, err := spooldir.StatIn(d, spooldir.Place(sub), name)
	check(t, err)
	check(t, d.Steering().Rewrite(spooldir.Place(sub), name, id, writer(string(front)+text[h.Start():])))
}

// A change of recipients repeats no acceptance, wherever the message is.
func TestChangeOfRecipientsRepeatsNoAcceptance(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"with Message-ID": "Message-ID: <1@x>\n", "without": ""} {
		for place, reply := range map[string]string{"waiting": "451 4.2.0 later", "failed": "550 5.1.1 no such user", "held": "451 4.2.0 later"} {
			t.Run(place+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					is := is.New(t)
					dir, relay := t.TempDir(), refusing(map[string]string{"bad@example.org": reply})
					drop(t, dir, "m", "From: a@x.org\nTo: good@example.org\nCc: bad@example.org\n"+id+"\nhello\n")
					_, stop := begin(t, dir, Options{Dial: relay.Dial, NoReports: true})
					pass(time.Second)
					is.Equal(len(relay.Messages()), 1)
					switch place {
					case "waiting":
						readdressed(t, dir, "", "m", "good@example.org", "new@example.org")
					case "held":
						check(t, os.Rename(filepath.Join(dir, "m"), filepath.Join(dir, "hold/m")))
						pass(time.Minute)
						readdressed(t, dir, "hold", "m", "good@example.org", "new@example.org")
						pass(time.Minute)
						is.Equal(len(relay.Messages()), 1) // still held
						check(t, os.Rename(filepath.Join(dir, "hold/m"), filepath.Join(dir, "m")))
					case "failed":
						readdressed(t, dir, "failed", "m", "good@example.org", "new@example.org")
						check(t, os.Rename(filepath.Join(dir, "failed/m"), filepath.Join(dir, "m")))
					}
					pass(time.Minute)
					stop()
					is.Equal(len(relay.Messages()), 2)
					is.Equal(relay.Messages()[1].To, []string{"new@example.org"})
					// the header field Cc is not changed
					is.True(strings.Contains(string(relay.Messages()[1].Data), "Cc: bad@example.org\r\n"))
					is.True(!exists(dir, "m") && len(ls(t, dir, "failed")) == 0)
				})
			})
		}
	}
}

// writer returns a function that writes text.
func writer(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}
