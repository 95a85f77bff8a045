package compact

import (
	"math"
	"time"
)

// A Moment is a time in eight bytes: nanoseconds, and one bit for a monotonic clock reading. A Moment with a monotonic
// reading counts from a base, as the times of a Packer do. Moments with the same base compare as numbers unless the
// clock was set.
type Moment int64

// MomentOf returns t as a Moment. For a time before 1900 or after 2100 it returns the first or the last Moment.
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

// Time returns the time of m. The base must be that of MomentOf.
func (m Moment) Time(base time.Time) time.Time {
	ns := int64(m >> 1)
	if m&1 == 0 {
		return time.Unix(0, ns)
	}
	return base.Add(time.Duration(ns - base.UnixNano()))
}
