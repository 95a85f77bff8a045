package spoolgore

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A run may end while it makes the report about a delay. The next run makes no second report, and the report is not
// lost.
func TestWarningIsSentOnceAlsoWhenTheRunEnds(t *testing.T) {
	for range 20 { // the progress of the report at the end of the run depends on the disk
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			relay := refusing(map[string]string{"b@x.org": "450 4.2.1 later"})
			drop(t, dir, "m", strings.Replace(named, "a@x.org, ", "", 1))
			opts := telling(Options{
				Dial: relay.Dial, WarnAfter: time.Hour, Backoff: func(int) time.Duration { return 6 * time.Hour },
			})
			s := New(dir, opts)
			s.opts.Watch = WatchOff
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // the time at which the report is due
			defer cancel()
			is.NoErr(s.Run(ctx))
			_, stop := begin(t, dir, opts)
			pass(time.Hour)
			stop()
			is.Equal(len(reports(t, relay)), 1)
		})
	}
}

// A report about a delay is being made when a pause begins: the status file of the pause says nothing of the report.
// Neither a stop in the pause nor a reload of the file makes a second report.
func TestWarningIsSentOnceAlsoInAPause(t *testing.T) {
	t.Parallel()
	for _, reloads := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			relay := refusing(map[string]string{"b@x.org": "450 4.2.1 later"})
			drop(t, dir, "m", strings.Replace(named, "a@x.org, ", "", 1))
			var slow atomic.Bool
			opts := telling(Options{
				Dial: relay.Dial, WarnAfter: time.Hour, Backoff: func(int) time.Duration { return 6 * time.Hour },
				FailDisk: func(op, path string) error {
					if slow.Load() && op == "create" && strings.HasPrefix(path, filepath.Join(dir, "tmp")) {
						time.Sleep(10 * time.Second)
					}
					return nil
				},
			})
			s, stop := begin(t, dir, opts)
			pass(time.Minute)
			slow.Store(true)
			pass(59*time.Minute + 5*time.Second)
			s.Pause()
			slow.Store(false)
			is.Equal(len(reports(t, relay)), 0)
			pass(time.Minute)
			if reloads {
				is.NoErr(s.Reload())
				s.Resume()
				pass(time.Hour)
				stop()
			} else {
				stop()
				_, stop = begin(t, dir, opts)
				pass(time.Hour)
				stop()
			}
			is.Equal(len(reports(t, relay)), 1)
		})
	}
}
