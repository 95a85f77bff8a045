package compact

import (
	"math"
	"time"
)

// A Moment is a time in a third of the room: nanoseconds, and one bit that tells whether it goes by the monotonic clock, which is
// then counted from a base as the times of a Packer are. Moments with the same base compare as numbers, as long as nobody sets the
// clock.
type Moment int64

// MomentOf is t, or where that cannot be (before 1900, after 2100) the first or the last Moment that there is.
func MomentOf(t, base time.Time) Moment {
	var steady Moment
	if t != t.Round(0) {
		t, steady = base.Round(0).Add(t.Sub(base)), 1
	}
	switch {
	case t.Year() < 1900:
		return math.MinInt64
	case t.Year() > 2100:
		return math.MaxInt64 - 1
	}
	return Moment(t.UnixNano())<<1 | steady
}

// Time is what m stands for.
func (m Moment) Time(base time.Time) time.Time {
	ns := int64(m >> 1)
	if m&1 == 0 {
		return time.Unix(0, ns)
	}
	return base.Add(time.Duration(ns - base.UnixNano()))
}
