package compact

import (
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestMomentsAreTimesInOrder(t *testing.T) {
	is := is.New(t)
	base := time.Now()
	times := []time.Time{
		base.AddDate(-1, 0, 0), base.Add(-1), base, base.Add(1), base.Add(time.Hour), base.Round(0).Add(2 * time.Hour), base.Add(3 * time.Hour),
		base.Round(0).AddDate(1, 0, 0), time.Date(2100, 12, 31, 23, 59, 59, 999999999, time.UTC),
	}
	for i, at := range times {
		m := MomentOf(at, base)
		is.Equal(m.Time(base).Sub(at), time.Duration(0))
		is.Equal(m.Time(base) != m.Time(base).Round(0), at != at.Round(0)) // with a monotonic clock if there was one
		is.True(i == 0 || MomentOf(times[i-1], base) < m)
	}
	last := MomentOf(times[len(times)-1], base)
	is.True(MomentOf(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), base) > last) // the latest possible time
	is.True(MomentOf(time.Time{}, base) < MomentOf(times[0], base))
}
