package daemonstate

import "time"

// LatencyLimits returns the upper limits, in seconds, of the ranges of a Latency.
func LatencyLimits() []float64 {
	return []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
}

// Latency counts accepted recipients by the time from when a message was first seen, or might first be sent.
type Latency struct {
	Counts []uint64 // of each range of LatencyLimits, and above; empty: none yet
	Sum    float64  // of all times, in seconds
}

// Observe counts one recipient.
func (l *Latency) Observe(d time.Duration) {
	limits := LatencyLimits()
	if len(l.Counts) == 0 {
		l.Counts = make([]uint64, len(limits)+1)
	}
	seconds, i := max(0, d.Seconds()), 0
	for i < len(limits) && seconds > limits[i] {
		i++
	}
	l.Counts[i]++
	l.Sum += seconds
}

// Add adds the counts of another Latency. Those of a version with other ranges do not count.
func (l *Latency) Add(other Latency) {
	if len(other.Counts) != len(LatencyLimits())+1 {
		return
	}
	if len(l.Counts) == 0 {
		l.Counts = make([]uint64, len(other.Counts))
	}
	for i, n := range other.Counts {
		l.Counts[i] += n
	}
	l.Sum += other.Sum
}

// Clone returns a copy.
func (l *Latency) Clone() Latency {
	return Latency{Counts: append([]uint64(nil), l.Counts...), Sum: l.Sum}
}
