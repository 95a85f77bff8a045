package breaker

import (
	"errors"
	"testing"
	"time"

	"github.com/matryer/is"
)

func exactly(d time.Duration) time.Duration { return d }

func TestRestDoublesFromASecondToFiveMinutes(t *testing.T) {
	is := is.New(t)
	var h Health
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	down := errors.New("connection refused")
	is.True(h.Take(now))                                       // what is well may be used
	is.True(h.Take(now))                                       // by many
	is.True(h.Trouble(down, now, now, Most, exactly))          // its first trouble is news
	is.True(!h.Trouble(down, now.Add(-1), now, Most, exactly)) // what others found at the same time is not, and does not double the rest
	for want := First; ; want = min(2*want, Most) {
		is.Equal(h.Wait(now), want) // it rests
		is.True(!h.Take(now.Add(want - 1)))
		now = now.Add(want)
		is.True(h.Take(now))                               // then one may probe
		is.True(!h.Take(now))                              // and no other
		is.Equal(h.Wait(now), time.Duration(-1))           // until the probe is over
		is.True(!h.Trouble(down, now, now, Most, exactly)) // a failed probe is no news
		h.Release()
		if want == Most {
			break
		}
	}
	is.Equal(h.Wait(now), Most) // never longer
	is.Equal(h.Err(), down)
	h.Wake(now)
	is.True(h.Take(now)) // woken, it may be probed at once
	is.True(h.Back())    // that it works again is news
	h.Release()
	is.True(!h.Back())
	is.NoErr(h.Err())
	is.True(h.Trouble(down, now, now, Most, exactly))
	is.Equal(h.Wait(now), First) // the next rest is short again
}
