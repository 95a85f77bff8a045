package smtppool

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// Retire lets transactions end, and hands back the other offers.
func TestRetire(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		relay := &smtptest.Relay{Ext: ext, Reply: func(verb, arg string) string {
			if verb == "END" {
				time.Sleep(time.Minute)
			}
			return ""
		}}
		r := newRelay(t, relay.Dial, 1)
		why := errors.New("other settings")
		results := make(map[string]*failure)
		var mu sync.Mutex
		var wg sync.WaitGroup
		offer := func(from string) {
			wg.Go(func() {
				e := offerTo(r, mail(from))[0].Err
				mu.Lock()
				defer mu.Unlock()
				results[from] = e
			})
			synctest.Wait()
		}
		offer("first@x.org")
		time.Sleep(time.Second) // the message is in a transaction
		for _, from := range []string{"a@x.org", "b@x.org", "c@x.org", "d@x.org", "e@x.org", "f@x.org", "g@x.org"} {
			offer(from)
		}
		r.Retire(why)
		offer("late@x.org")
		r.Close()
		wg.Wait()
		is.Equal(results["first@x.org"], nil) // the transaction has ended normally
		late := results["late@x.org"]
		is.True(late != nil && late.Fault == attempt.None && errors.Is(late, why)) // no later offer is begun
		is.True(results["g@x.org"] != nil && results["g@x.org"].Fault == attempt.None)
		taken := len(relay.Messages())
		for _, e := range results {
			if e == nil {
				taken--
			}
		}
		is.Equal(taken, 0)                                     // each message with an error was not accepted
		is.True(offerTo(r, mail("again@x.org"))[0].Err != nil) // after Close the relay is not used again
		is.Equal(relay.Connections(), 1)
	})
}

func TestRetireGivesUpConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		r := newRelay(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, 2)
		why, began := errors.New("other settings"), time.Now()
		ended := make(chan *failure, 1)
		go func() { ended <- offerTo(r, mail("a@x.org"))[0].Err }()
		synctest.Wait()
		r.Retire(why)
		e := <-ended
		is.True(e.Fault == attempt.None && errors.Is(e, why)) // an offer does not wait for a retired relay
		r.Close()
		is.Equal(time.Since(began), time.Duration(0))
	})
}

func TestAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{Reply: slow("END")}
		l := &line{relay: relay}
		r := newRelay(t, l.dial, 2)
		is.Equal(len(failures(deliver(r, 20))), 0)
		_, peak, _, _ := l.counts()
		is.Equal(peak, 2)
		r.Allow(6, false)
		is.Equal(len(failures(deliver(r, 100))), 0)
		_, peak, _, _ = l.counts()
		is.Equal(peak, 6) // a higher limit is used at once
		r.Allow(1, false)
		is.Equal(len(failures(deliver(r, 20))), 0)
		time.Sleep(time.Minute)
		_, before, made, _ := l.counts()
		is.Equal(before, 6)
		is.Equal(len(failures(deliver(r, 20))), 0)
		_, _, now, _ := l.counts()
		is.Equal(now, made+1) // and so is a lower one
		is.Equal(len(relay.Messages()), 160)
		r.Close()
	})
}

func TestConnectionsMayBeManyLater(t *testing.T) {
	is := is.New(t)
	r := newRelay(t, (&smtptest.Relay{}).Dial, 10)
	is.Equal(int(r.connector.piece.Load()), 0)
	r.Allow(500, false)
	is.Equal(int(r.connector.piece.Load()), smallPiece) // each connection buffers less then
	r.Allow(10, false)
	is.Equal(int(r.connector.piece.Load()), 0)
}

func TestResize(t *testing.T) {
	is := is.New(t)
	l := newLimits(20, false)
	l.now = 20
	l.resize(30, false)
	is.Equal(l.now, 20)       // at first the limit stays
	is.Equal(l.threshold, 30) // no limit from signs of trouble
	l.backOff(noon)
	is.Equal(l.now, 10)
	l.resize(100, false)
	is.Equal(l.threshold, 10) // what was learnt about the relay is kept
	l.resize(5, false)
	is.Equal(l.now, 5)
	l.resize(-1, false)
	is.Equal(l.now, 1) // one at least
}
