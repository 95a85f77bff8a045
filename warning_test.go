package spoolgore

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A run may end while the report about a delay is being made. The next run makes no second one, and the report is not lost.
func TestWarningIsSentOnceAlsoWhenTheRunEnds(t *testing.T) {
	for range 20 { // how far the report is when the run ends is left to the disk
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
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // when the report is due
			defer cancel()
			is.NoErr(s.Run(ctx))
			_, stop := begin(t, dir, opts)
			pass(time.Hour)
			stop()
			is.Equal(len(reports(t, relay)), 1)
		})
	}
}
