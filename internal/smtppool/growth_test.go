package smtppool

import (
	"testing"
	"time"

	"github.com/matryer/is"
)

// The limit auto grows only while additional connections make the relay faster.
func TestAutoGrowsWhileTheRateRises(t *testing.T) {
	t.Parallel()
	const roundTrip = 50 * time.Millisecond
	for _, tt := range []struct {
		name string
		// limit of messages per second that the relay accepts; zero: one message per connection and round trip
		capacity float64
		want     int // number of connections at the end
	}{
		{"a long wire", 0, 100},
		{"a relay that is busy with 20 connections", 400, 20},
		{"a relay that is busy with 24 connections", 480, 20},
		{"a relay that is busy with 30 connections", 600, 40},
		{"a relay that is busy with 45 connections", 900, 40},
		{"a relay that is busy with 70 connections", 1400, 80},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			l, now := newLimits(20, true), noon
			for range 4_000 {
				rate := float64(l.allowed(now)) / roundTrip.Seconds()
				if tt.capacity > 0 {
					rate = min(rate, tt.capacity)
				}
				now = now.Add(time.Duration(float64(time.Second) / rate))
				l.served(l.allowed(now), now, false)
			}
			is.Equal(l.allowed(now), tt.want)
		})
	}
}

// Signs of overload, a refused connection and a configured limit end the growth.
func TestAutoEnds(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	serve := func(l *limits, from time.Time, n int) time.Time {
		for range n {
			from = from.Add(50 * time.Millisecond / time.Duration(l.allowed(from)))
			l.served(l.allowed(from), from, false)
		}
		return from
	}
	l := newLimits(20, true)
	now := serve(&l, noon, 300)
	is.True(l.allowed(now) > 20)
	l.refused(27, now)
	is.Equal(l.allowed(now), 27)
	is.Equal(l.allowed(serve(&l, now, 500)), 27) // the number of connections that the relay accepts

	l = newLimits(20, true)
	now = serve(&l, noon, 300)
	was := l.allowed(now)
	l.backOff(now)
	is.Equal(l.allowed(now), was/2)
	is.True(l.allowed(serve(&l, now, 2000)) <= max(20, was/2)) // no growth soon after the sign of overload

	l = newLimits(20, true)
	now = serve(&l, noon, 2000)
	is.Equal(l.allowed(now), 100)
	l.resize(7, false)
	is.Equal(l.allowed(serve(&l, now, 2000)), 7)

	l = newLimits(20, false)
	is.Equal(l.allowed(serve(&l, noon, 2000)), 20) // a configured number is a hard limit
}

// The rate is not measured while some connections are still being opened, or while there is less mail than connections.
func TestAutoMeasuresWithAllConnections(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	l := newLimits(20, true)
	now := noon
	for i := range 2000 {
		now = now.Add(time.Millisecond)
		l.served(max(1, min(19, i)), now, false)
	}
	is.Equal(l.allowed(now), 20)
}
