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
	is.Equal(l.allowed(noon), 2) // two at the beginning
	is.Equal(accept(1), 3)
	is.Equal(accept(6), 9)
	is.Equal(accept(100), 10) // the maximum
	l.backOff(noon)
	is.Equal(l.allowed(noon), 5) // half after a sign of trouble
	l.backOff(after(time.Second - 1))
	is.Equal(l.allowed(noon), 5) // signs at the same time count once
	is.Equal(accept(4), 5)
	is.Equal(accept(1), 6) // then the limit grows slowly
	is.Equal(accept(5), 6)
	is.Equal(accept(1), 7)
	for i := range 5 {
		l.backOff(after(time.Duration(i+1) * time.Second))
	}
	is.Equal(l.allowed(noon), 1) // the minimum
	is.Equal(accept(1), 2)       // the limit grows again

	l = newLimits(0, false)
	is.Equal(l.allowed(noon), 1) // the minimum for any settings
	is.Equal(accept(5), 1)
}

func TestConnectionLimitAfterARefusal(t *testing.T) {
	is := is.New(t)
	l := newLimits(10, false)
	for range 8 {
		l.served(99, noon, false)
	}
	is.True(!l.started(9)) // without a refusal there is no probe
	l.refused(3, noon)
	is.Equal(l.allowed(noon), 3) // the number of connections before the refusal
	l.served(99, noon, false)
	l.served(99, noon, false)
	l.served(99, noon, false)
	is.Equal(l.allowed(after(time.Minute-1)), 3)
	l.refused(2, noon) // a connection that was being opened at the time of the refusal
	l.served(99, noon, false)
	l.served(99, noon, false)
	is.Equal(l.allowed(after(time.Minute-1)), 2)

	now := noon
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		now = now.Add(wait*time.Minute - 1)
		is.Equal(l.allowed(now), 2)
		now = now.Add(1)
		is.Equal(l.allowed(now), 3) // one more is allowed, after a time that doubles
		is.True(!l.started(1))      // this connection is within the limit
		is.True(l.started(2))       // this connection is the probe
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
	is.Equal(l.allowed(now), 10) // no limit from a refusal any more
	l.refused(2, now)
	l.unreachable(now)
	is.True(l.allowed(now) < 2) // half after a sign of trouble
	for range 100 {
		l.served(99, noon, false)
	}
	is.Equal(l.allowed(now), 10) // a relay that cannot be reached has not refused a connection
}

// If hundreds of connections are allowed, they are opened soon, but a relay that accepts few of them is not overrun.
func TestLimitFollowsGreetings(t *testing.T) {
	is := is.New(t)
	l := newLimits(50, false)
	is.Equal(l.allowed(noon), 50) // at the beginning

	l = newLimits(400, false)
	is.Equal(l.allowed(noon), 100) // a hundred at most
	l.greeted(9, false)
	is.Equal(l.allowed(noon), 100) // the relay may accept ten only
	l.greeted(50, false)
	is.Equal(l.allowed(noon), 200) // four times the number of open connections
	l.greeted(150, false)
	is.Equal(l.allowed(noon), 400) // the maximum
	l.backOff(noon)
	l.greeted(201, false)
	is.Equal(l.allowed(noon), 200) // after a sign of trouble, only accepted messages make it grow

	l = newLimits(20, false)
	is.Equal(l.allowed(noon), 2)
	l.greeted(2, false)
	is.Equal(l.allowed(noon), 2) // a message must be accepted first
	l.refused(12, noon)
	l.greeted(12, false)
	is.Equal(l.allowed(noon), 2) // also after a refused connection
}

// If a relay refuses a connection, the limit holds as soon as the connection has left the pool: no other connection is
// opened in its place.
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
		is.Equal(made, 0) // the offer waits for one of the two connections
		is.Equal(r.Connections(), 2)
		for _, s := range sessions {
			s.end()
		}
		<-done // without other sessions a new connection is opened
	})
}
