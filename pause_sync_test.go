package spoolgore

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A transaction ends in a pause. Its removal is on disk a second later, as without a pause.
func TestRemovalInAPauseIsSynced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{takes: time.Minute}
		var removed, synced atomic.Bool // synced after the removal
		s, stop := start(t, dir, Options{Transport: relay, FailDisk: func(op, path string) error {
			switch {
			case op == "remove" && strings.Contains(filepath.Base(path), ".sent-"):
				removed.Store(true)
			case op == "sync" && path == dir && removed.Load():
				synced.Store(true)
			}
			return nil
		}})
		drop(t, dir, "m", named)
		pass(12 * time.Second)
		s.Pause()
		pass(2 * time.Minute)
		is.True(removed.Load())
		is.True(synced.Load())
		s.Resume()
		stop()
	})
}
