package smtppool

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// The tempo is the fastest quarter of the times: messages that wait for a busy host and refusals do not count. A relay
// that becomes slow is soon known as slow.
func TestTempo(t *testing.T) {
	is := is.New(t)
	var u tempo
	is.True(!u.enough(1, 5, 4)) // the tempo is unknown
	for i := range 400 {
		took := 300 * time.Microsecond
		if i%2 == 0 {
			took = 50 * time.Millisecond // as on a busy host
		}
		u.served(took, true)
	}
	is.True(u.quick())
	for range 8 {
		u.served(100*time.Millisecond, true)
	}
	is.True(u.flight > 600*time.Microsecond)
	for range 100 {
		u.served(100*time.Millisecond, true)
	}
	is.True(!u.quick())
	for range 100 {
		u.served(time.Microsecond, false)
	}
	is.True(!u.quick()) // a refusal does not show the tempo

	quick := tempo{flight: time.Millisecond}
	is.True(quick.enough(20, 2, 2))
	is.True(!quick.enough(0, 1, 2))  // one session may hang
	is.True(!quick.enough(24, 2, 2)) // 6 ms
	is.True(quick.enough(24, 3, 2))
	quick.spur = true
	is.True(!quick.enough(20, 2, 2))
}

// offerAll offers n messages at once, and waits until each is accepted.
func offerAll(t *testing.T, r *Relay, n int) {
	t.Helper()
	offerAs(t, r, "a", n)
}

// offerAs is offerAll for messages whose senders begin with prefix.
func offerAs(t *testing.T, r *Relay, prefix string, n int) {
	t.Helper()
	done := make(chan []attempt.Outcome, n)
	for i := range n {
		r.Offer(context.Background(), mail(fmt.Sprintf("%s%d@x.org", prefix, i)), func(o []attempt.Outcome) { done <- o })
	}
	for range n {
		if o := <-done; o[0].Err != nil {
			t.Error(o[0].Err)
		}
	}
}

// An autoRelay is a relay without a configured limit, with slow replies to some verbs.
func autoRelay(t *testing.T, takes time.Duration, verbs ...string) (*Relay, *line) {
	t.Helper()
	l := &line{relay: &smtptest.Relay{Ext: []string{"PIPELINING"}, Reply: func(verb, _ string) string {
		for _, v := range verbs {
			if v == verb {
				time.Sleep(takes)
			}
		}
		return ""
	}}}
	r, err := New(Options{
		Addr: "relay.test:25", Dial: l.dial, Client: smtpclient.Config{LocalName: "me.example.com"}, Concurrency: 20, Auto: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, l
}

// A relay that is known to be quick gets few connections, and twenty for a burst of many messages. A distant relay gets
// a hundred within ten round trips, and a slow one twenty at first.
func TestConnectionsFollowTheTempo(t *testing.T) {
	for _, tt := range []struct {
		name        string
		takes       time.Duration
		verbs       []string
		before      int // messages sent before, which show the tempo
		messages    int // messages offered at once
		least, most int // limits for the number of connections
		within      time.Duration
	}{
		{"quick", 100 * time.Microsecond, []string{"END"}, 1, 40, 2, 8, time.Minute},
		{"quick, many at once", 100 * time.Microsecond, []string{"END"}, 1, 400, 2, 20, time.Minute},
		{"distant", 50 * time.Millisecond, []string{"CONNECT", "EHLO", "END"}, 0, 400, 60, 100, 10 * 50 * time.Millisecond},
		{"thinks", 20 * time.Millisecond, []string{"END"}, 0, 400, 20, 100, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				r, l := autoRelay(t, tt.takes, tt.verbs...)
				defer r.Close()
				offerAs(t, r, "before", tt.before)
				begun := time.Now()
				offerAll(t, r, tt.messages)
				took := time.Since(begun)
				_, peak, _, _ := l.counts()
				is.True(peak >= tt.least) // the largest number of connections at the same time
				is.True(peak <= tt.most)
				is.True(took <= tt.within)
				is.True(eachOnce(l.relay, tt.before+tt.messages))
			})
		})
	}
}

// If a quick relay suddenly takes long for the messages of all busy sessions, other messages wait for a moment only.
func TestQuickRelayThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		var stop atomic.Int32 // number of replies that take long
		l := &line{relay: &smtptest.Relay{Ext: []string{"PIPELINING"}, Reply: func(verb, _ string) string {
			if verb == "END" {
				time.Sleep(100 * time.Microsecond)
				if stop.Add(-1) >= 0 {
					time.Sleep(10 * time.Second)
				}
			}
			return ""
		}}}
		r := newRelay(t, l.dial, 20)
		defer r.Close()
		offerAll(t, r, 100)
		_, peak, _, _ := l.counts()
		is.True(peak < 20) // the relay is known to be quick
		stop.Store(2)      // both sessions hang
		done := make(chan struct{}, 40)
		for i := range 40 {
			r.Offer(context.Background(), mail(fmt.Sprintf("b%d@x.org", i)), func([]attempt.Outcome) { done <- struct{}{} })
		}
		time.Sleep(50 * time.Millisecond)
		is.True(len(done) >= 36) // all except the messages on the two connections
		for range 40 {
			<-done
		}
	})
}
