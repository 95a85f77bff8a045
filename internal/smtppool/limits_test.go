package smtppool

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return noon.Add(d) }

func TestLimitGrowsAndShrinks(t *testing.T) {
	is := is.New(t)
	l := newLimits(10, false)
	accept := func(n int) int {
		for range n {
			l.served(99, noon, false)
		}
		return l.allowed(noon)
	}
	is.Equal(l.allowed(noon), 2) // at first
	is.Equal(accept(1), 3)
	is.Equal(accept(6), 9)
	is.Equal(accept(100), 10) // at most
	l.backOff(noon)
	is.Equal(l.allowed(noon), 5) // half
	l.backOff(after(time.Second - 1))
	is.Equal(l.allowed(noon), 5) // signs that come together count once
	is.Equal(accept(4), 5)
	is.Equal(accept(1), 6) // from there on slowly
	is.Equal(accept(5), 6)
	is.Equal(accept(1), 7)
	for i := range 5 {
		l.backOff(after(time.Duration(i+1) * time.Second))
	}
	is.Equal(l.allowed(noon), 1) // at least
	is.Equal(accept(1), 2)       // and not for ever

	l = newLimits(0, false)
	is.Equal(l.allowed(noon), 1) // whatever the settings are
	is.Equal(accept(5), 1)
}

func TestConnectionLimitAfterARefusal(t *testing.T) {
	is := is.New(t)
	l := newLimits(10, false)
	for range 8 {
		l.served(99, noon, false)
	}
	is.True(!l.started(9)) // no ceiling, no probe
	l.refused(3, noon)
	is.Equal(l.allowed(noon), 3) // as many as there were
	l.served(99, noon, false)
	l.served(99, noon, false)
	l.served(99, noon, false)
	is.Equal(l.allowed(after(time.Minute-1)), 3)
	l.refused(2, noon) // another one that was on its way
	l.served(99, noon, false)
	l.served(99, noon, false)
	is.Equal(l.allowed(after(time.Minute-1)), 2)

	now := noon
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		now = now.Add(wait*time.Minute - 1)
		is.Equal(l.allowed(now), 2)
		now = now.Add(1)
		is.Equal(l.allowed(now), 3) // one more, after a time that doubles
		is.True(!l.started(1))      // this is none too many
		is.True(l.started(2))       // this is the one
		l.refused(2, now)
		for range 10 {
			l.served(99, noon, false)
		}
	}
	now = now.Add(lastProbe)
	is.True(l.started(2))
	l.liftCeiling()
	is.Equal(l.allowed(now), 3)
	for range 30 {
		l.served(99, noon, false)
	}
	is.Equal(l.allowed(now), 10) // no ceiling any more
	l.refused(2, now)
	l.unreachable(now)
	is.True(l.allowed(now) < 2) // half
	for range 100 {
		l.served(99, noon, false)
	}
	is.Equal(l.allowed(now), 10) // what cannot be reached has no ceiling
}

// Whoever asks for hundreds of connections has them soon, and a relay that bears a few is not overrun.
func TestLimitFollowsGreetings(t *testing.T) {
	is := is.New(t)
	l := newLimits(50, false)
	is.Equal(l.allowed(noon), 50) // at once

	l = newLimits(400, false)
	is.Equal(l.allowed(noon), 100) // hundreds not quite
	l.greeted(9, false)
	is.Equal(l.allowed(noon), 100) // it may be one that bears ten
	l.greeted(50, false)
	is.Equal(l.allowed(noon), 200) // four times as many as there are
	l.greeted(150, false)
	is.Equal(l.allowed(noon), 400) // at most
	l.backOff(noon)
	l.greeted(201, false)
	is.Equal(l.allowed(noon), 200) // after a sign of trouble only messages count

	l = newLimits(20, false)
	is.Equal(l.allowed(noon), 2)
	l.greeted(2, false)
	is.Equal(l.allowed(noon), 2) // first it is to take a message
	l.refused(12, noon)
	l.greeted(12, false)
	is.Equal(l.allowed(noon), 2) // nor where there is a ceiling
}

// The limit of a relay that refuses a connection holds from the moment when the connection leaves the pool: no other
// connection replaces the refused one.
func TestRefusedConnectionIsNotReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l := &line{relay: &smtptest.Relay{}}
		r := newRelay(t, l.dial, 20)
		p := r.pool
		p.limits.now = 3
		sessions := []*session{newSession(p, false), newSession(p, false), newSession(p, false)}
		for _, s := range sessions {
			p.roster.add(s)
			p.roster.connecting--
		}
		refused := sessions[2]
		is.True(p.lost(refused, true))
		done := make(chan struct{})
		r.Offer(t.Context(), mail("a@x.org"), func([]attempt.Outcome) { close(done) })
		synctest.Wait()
		_, _, made, _ := l.counts()
		is.Equal(made, 0) // the offer waits for one of the two
		is.Equal(r.Connections(), 2)
		for _, s := range sessions {
			s.end()
		}
		<-done // without other sessions, a new connection is opened
	})
}
