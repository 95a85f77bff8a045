package spoolgore

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A person takes all recipients of a waiting message out of the status file, while no run is under way or before the
// message was compared with its file. Nobody gets the message, and the message goes to failed/.
func TestMessageWithoutRecipientsInTheStatusFile(t *testing.T) {
	t.Parallel()
	for _, paused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir, relay := t.TempDir(), &ledger{answer: deferB}
			drop(t, dir, "m", "From: s@x.org\nTo: b@x.org\nMessage-ID: <1@x>\n\nhello\n")
			_, stop := start(t, dir, Options{Transport: relay, Backoff: seldom, Freq: time.Minute})
			pass(10 * time.Second)
			stop()
			is.Equal(relay.tries("", "b@x.org"), 1)
			path := filepath.Join(dir, ".spoolgore.js")
			edit := func() {
				text := compactStatus(t, path)
				edited := regexp.MustCompile(`"To":\[.*?\],"Cc"`).ReplaceAllString(text, `"To":[],"Cc"`)
				is.True(edited != text)
				is.NoErr(os.WriteFile(path, []byte(edited), 0o600))
			}
			if !paused {
				edit()
			}
			s := New(dir, exact(Options{Transport: relay, Backoff: seldom, Watch: WatchOff, Freq: time.Minute}))
			if paused {
				s.Pause()
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			if paused {
				pass(time.Second)
				edit()
				is.NoErr(s.Reload())
				s.Resume()
			}
			pass(50 * time.Hour)
			cancel()
			is.NoErr(<-done)
			is.Equal(relay.tries("", "b@x.org"), 1)
			_, err := os.Stat(filepath.Join(dir, "failed", "m"))
			is.NoErr(err)
		})
	}
}
