package spoolgore

import (
	"context"
	"strings"
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
