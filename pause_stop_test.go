package spoolgore

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// In a pause a person takes a message out of the status file, so that it begins again, and restarts the daemon. Who has
// accepted the message gets no second copy, as after SIGHUP.
func TestEditInAPauseThatEndsWithAStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		opts := Options{Transport: relay, Backoff: seldom}
		s, stop := start(t, dir, opts)
		pass(10 * time.Second)
		s.Pause()
		pass(time.Second)
		is.NoErr(os.WriteFile(filepath.Join(dir, ".spoolgore.js"), []byte("{}"), 0o600))
		stop()
		_, stop = start(t, dir, opts)
		pass(time.Minute)
		stop()
		is.Equal(relay.tries("", "a@x.org"), 1)
		is.Equal(relay.tries("", "b@x.org"), 2)
	})
}
