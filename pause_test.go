package spoolgore

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// Several goroutines pause the spool while its status file is written. Each Pause returns when the file is up to date,
// and no two writes of the file overlap.
func TestPausesDuringAWriteOfTheStatusFile(t *testing.T) {
	t.Parallel()
	for _, resumed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			var slow atomic.Bool
			var writes, most atomic.Int32
			release := make(chan struct{})
			end := sync.OnceFunc(func() { close(release) })
			defer end()
			disk := func(op, path string) error {
				if op == "sync" && path == filepath.Join(dir, ".spoolgore.js") && slow.Load() {
					most.Store(max(most.Load(), writes.Add(1)))
					<-release
					time.Sleep(time.Second)
					writes.Add(-1)
				}
				return nil
			}
			relay := &ledger{answer: deferB}
			s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom, FailDisk: disk})
			pass(10 * time.Second)
			slow.Store(true)
			drop(t, dir, "m", textOf("m"))
			s.Flush()
			pass(10 * time.Second)
			is.Equal(writes.Load(), int32(1))
			var paused atomic.Int32
			pause := func() {
				s.Pause()
				paused.Add(1)
			}
			go pause()
			pass(time.Second)
			if resumed {
				s.Resume()
			}
			go pause()
			pass(time.Second)
			is.Equal(paused.Load(), int32(0)) // the file is being written
			end()
			pass(10 * time.Second)
			is.Equal(paused.Load(), int32(2))
			is.Equal(most.Load(), int32(1)) // writes at a time
			s.Resume()
			stop()
		})
	}
}
