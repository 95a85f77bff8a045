package smtppool

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// A relay that takes long for the first replies gets a connection for each offer that may be in progress. Connections
// without an offer stay.
func TestIdleConnectionsStayWhileTheRelayIsSlow(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		l := &line{relay: &smtptest.Relay{Ext: ext, Reply: func(verb, _ string) string {
			switch verb {
			case "CONNECT":
				time.Sleep(50 * time.Millisecond)
			case "END":
				time.Sleep(20 * time.Second)
			}
			return ""
		}}}
		r := newRelay(t, l.dial, 100)
		const n = 400
		results := make(chan []result, n)
		for i := range n {
			r.Offer(t.Context(), mail(fmt.Sprintf("a%d@x.org", i)), func(o []attempt.Outcome) { results <- resultsOf(o) })
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		_, _, made, _ := l.counts()
		t.Logf("%d connections", made)
		is.True(made <= 200) // each connection may have been idle for five seconds, once
		for range n {
			is.Equal((<-results)[0].Err, nil)
		}
	})
}

// A relay that limits the rate is used at its rate over the connections that are there.
func TestIdleConnectionsStayWhileARelayIsUsedSlowly(t *testing.T) {
	for name, ext := range modes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				m := &meter{n: 14, per: time.Second, reply: "454 Throttling failure", latency: 20 * time.Millisecond}
				l := &line{relay: &smtptest.Relay{Ext: ext, Reply: m.answer}}
				r := newRelay(t, l.dial, 20)
				sendAll(r, 3000, 10*time.Second)
				_, _, made, _ := l.counts()
				t.Logf("%d connections, %d refusals", made, m.refused)
				is.True(made < 100)
			})
		})
	}
}
