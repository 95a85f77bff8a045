package spoolgore

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A message is given up for its age, and the process is killed before the status file says so. The message is moved
// back from failed/: it has its whole time again, as without the kill.
func TestMovedBackWithAnOlderStatusFile(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"before the start": true, "after the start": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: deferB}
				status := filepath.Join(dir, ".spoolgore.js")
				opts := Options{Transport: relay, Backoff: func(int) time.Duration { return time.Hour }, MaxAge: 10 * time.Hour, Freq: time.Minute}
				drop(t, dir, "m", "From: s@x.org\nTo: b@x.org\nMessage-ID: <1@x>\n\nhello\n")
				_, stop := start(t, dir, opts)
				pass(9*time.Hour + time.Minute)
				older, err := os.ReadFile(status)
				is.NoErr(err)
				pass(2 * time.Hour)
				stop()
				is.NoErr(os.WriteFile(status, older, 0o600))
				back := func() { check(t, os.Rename(filepath.Join(dir, "failed", "m"), filepath.Join(dir, "m"))) }
				if before {
					back()
				}
				_, stop = start(t, dir, opts)
				pass(time.Minute)
				if !before {
					back()
				}
				pass(5 * time.Hour)
				stop()
				_, err = os.Stat(filepath.Join(dir, "m"))
				is.NoErr(err) // it still waits
			})
		})
	}
}
