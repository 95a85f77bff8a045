package spoolgore

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// acceptALater defers all recipients at first, and then accepts them, except b@x.org.
func acceptALater(_, to string, n int) error {
	if to == "b@x.org" || n == 1 {
		return errLater
	}
	return nil
}

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
			relay := &ledger{answer: acceptALater}
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

// A person has edited an older status file without a pause. A pause begins while Reload reads the file, or Reload is
// called while the pause still writes another one. That the edit lacks an acceptance is no edit.
func TestPauseAndReloadOfAnEditWithoutAPause(t *testing.T) {
	t.Parallel()
	for _, slowOp := range []string{"read", "sync"} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			status := filepath.Join(dir, ".spoolgore.js")
			var slow atomic.Bool
			disk := func(op, path string) error {
				if op == slowOp && path == status && slow.Load() {
					time.Sleep(10 * time.Second)
				}
				return nil
			}
			relay := &ledger{answer: acceptALater}
			s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom, FailDisk: disk})
			drop(t, dir, "m", named)
			pass(time.Minute)
			older, err := os.ReadFile(status) // both recipients wait
			is.NoErr(err)
			s.Flush()
			pass(time.Minute)
			is.Equal(relay.accepted("", "a@x.org"), 1)
			is.NoErr(os.WriteFile(status, older, 0o600))
			slow.Store(true)
			pause, reload := s.Pause, func() { is.NoErr(s.Reload()) }
			first, second := reload, pause
			if slowOp == "sync" {
				first, second = pause, reload
			}
			go first()
			pass(time.Second)
			second()
			pass(time.Minute)
			s.Resume()
			s.Flush()
			pass(time.Minute)
			stop()
			is.Equal(relay.accepted("", "a@x.org"), 1)
		})
	}
}
