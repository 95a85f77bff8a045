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
	is.True(h.Take(now))                              // a relay without trouble may be used
	is.True(h.Take(now))                              // by several callers
	is.True(h.Trouble(down, now, now, Most, exactly)) // the first trouble is reported
	// trouble found at the same time is not reported, and does not double the pause
	is.True(!h.Trouble(down, now.Add(-1), now, Most, exactly))
	for want := First; ; want = min(2*want, Most) {
		is.Equal(h.Wait(now), want) // the pause
		is.True(!h.Take(now.Add(want - 1)))
		now = now.Add(want)
		is.True(h.Take(now))                               // then one caller may probe
		is.True(!h.Take(now))                              // and no other caller
		is.Equal(h.Wait(now), time.Duration(-1))           // until the probe has ended
		is.True(!h.Trouble(down, now, now, Most, exactly)) // a failed probe is not reported
		h.Release()
		if want == Most {
			break
		}
	}
	is.Equal(h.Wait(now), Most) // the pause does not grow further
	is.Equal(h.Err(), down)
	h.Wake(now)
	is.True(h.Take(now)) // after Wake the relay may be probed at once
	is.True(h.Back())    // the recovery is reported
	h.Release()
	is.True(!h.Back())
	is.NoErr(h.Err())
	is.True(h.Trouble(down, now, now, Most, exactly))
	is.Equal(h.Wait(now), First) // the next pause is short again
}
