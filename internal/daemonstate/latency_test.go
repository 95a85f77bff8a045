package daemonstate

import (
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestLatencyCountsByRange(t *testing.T) {
	is := is.New(t)
	var a, b Latency
	for _, d := range []time.Duration{-time.Second, 100 * time.Millisecond, 101 * time.Millisecond, time.Hour * 48} {
		a.Observe(d)
	}
	last := len(LatencyLimits())
	is.Equal([]uint64{a.Counts[0], a.Counts[1], a.Counts[last]}, []uint64{2, 1, 1})
	is.True(a.Sum > 48*3600 && a.Sum < 48*3600+1)
	b.Add(a)
	b.Add(Latency{Counts: []uint64{7}, Sum: 7}) // written by another version
	b.Add(a)
	is.Equal(b.Counts[0], uint64(4))
	is.Equal(b.Sum, 2*a.Sum)
	c := b.Clone()
	c.Observe(0)
	is.Equal(b.Counts[0], uint64(4)) // the slice is not shared
}
