package spoolgore

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A file has the name of failed/, tmp/ or hold/, at the start or later. Other mail is sent, and the log names the file.
// When the file is gone, a refused message goes to failed/ by itself.
func TestFileInPlaceOfSubdirectory(t *testing.T) {
	t.Parallel()
	for _, sub := range []string{"failed", "tmp", "hold"} {
		for _, atStart := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay, log := t.TempDir(), &ledger{answer: refuseB}, &lines{}
				wrong := func() {
					check(t, os.RemoveAll(filepath.Join(dir, sub)))
					check(t, os.WriteFile(filepath.Join(dir, sub), []byte("0 messages\n"), 0o600))
				}
				if atStart {
					wrong()
				}
				_, stop := start(t, dir, Options{Transport: relay, Logger: slog.New(slog.NewTextHandler(log, nil))})
				pass(time.Second)
				if !atStart {
					wrong()
				}
				check(t, os.WriteFile(filepath.Join(dir, "bad"), []byte(to("b@x.org")), 0o600))
				check(t, os.WriteFile(filepath.Join(dir, "good"), []byte(to("good@x.org")), 0o600))
				pass(30 * time.Second)
				is.NoErr(copies(relay, "good@x.org", 1))
				is.True(!exists(dir, "good"))
				is.True(exists(dir, "bad") != exists(dir, "failed", "bad")) // the message is in one of the places
				is.Equal(exists(dir, "bad"), sub == "failed")
				if sub == "failed" || atStart {
					is.True(strings.Contains(log.String(), "level=ERROR") && strings.Contains(log.String(), filepath.Join(dir, sub)))
				}
				check(t, os.Remove(filepath.Join(dir, sub)))
				pass(time.Minute)
				is.True(exists(dir, "failed", "bad.json") && !exists(dir, "bad"))
				stop()
				is.Equal(relay.tries("bad", "b@x.org"), 1)
			})
		}
	}
}

// A message has a second name in failed/ and no why-file, as after ln in place of mv by an operator. The message is
// sent, at the start and while the daemon runs.
func TestMessageLinkedToFailedIsSent(t *testing.T) {
	t.Parallel()
	for _, atStart := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir, relay := t.TempDir(), &ledger{}
			link := func() {
				check(t, os.MkdirAll(filepath.Join(dir, "failed"), 0o700))
				check(t, os.WriteFile(filepath.Join(dir, ".m"), []byte(named), 0o600))
				check(t, os.Link(filepath.Join(dir, ".m"), filepath.Join(dir, "failed", "m")))
				check(t, os.Rename(filepath.Join(dir, ".m"), filepath.Join(dir, "m")))
			}
			if atStart {
				link()
			}
			_, stop := start(t, dir, Options{Transport: relay})
			pass(time.Second)
			if !atStart {
				link()
			}
			pass(time.Minute)
			stop()
			is.NoErr(copies(relay, "a@x.org", 1))
			is.True(!exists(dir, "m") && !exists(dir, "failed", "m"))
		})
	}
}
