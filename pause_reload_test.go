package spoolgore

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// Reload is called while a pause still writes the status file. The file on the disk is older than the pause: that it
// lacks an acceptance is no edit.
func TestReloadWhileAPauseWritesTheStatusFile(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} { // the write of the pause
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			var slow atomic.Bool
			disk := func(op, path string) error {
				if op == "sync" && path == filepath.Join(dir, ".spoolgore.js") && slow.Load() {
					time.Sleep(10 * time.Second)
					if fails {
						return errLater
					}
				}
				return nil
			}
			relay := &ledger{answer: func(_, to string, n int) error {
				if to == "b@x.org" || n == 1 {
					return errLater
				}
				return nil
			}}
			s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom, FailDisk: disk})
			drop(t, dir, "m", named)
			pass(time.Minute) // the status file says that both recipients wait
			slow.Store(true)
			s.Flush()
			pass(10 * time.Millisecond)
			is.Equal(relay.accepted("", "a@x.org"), 1)
			go s.Pause()
			pass(time.Second)
			is.NoErr(s.Reload())
			slow.Store(false)
			pass(time.Minute)
			s.Resume()
			s.Flush()
			pass(time.Minute)
			stop()
			is.Equal(relay.accepted("", "a@x.org"), 1)
		})
	}
}
