package spoolgore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/retry"
)

const year = 365 * 24 * time.Hour

func TestAfterALongTimeWithoutADaemonEachMessageIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		const day = 24 * time.Hour
		opts := Options{Transport: relay, MaxAge: 5 * day}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, opts)
		pass(time.Minute + time.Second)
		stop()
		before := relay.tries("m", "b@x.org")
		pass(7 * day)
		_, stop = start(t, dir, opts)
		pass(retry.LastChance - time.Second)
		is.True(relay.tries("m", "b@x.org") > before+1) // the message is not given up without an attempt
		is.True(!exists(dir, "failed", "m"))
		pass(2 * time.Second)
		stop()
		is.True(exists(dir, "failed", "m")) // it is given up soon after
		is.Equal(relay.tries("m", "a@x.org"), 1)
	})
}
