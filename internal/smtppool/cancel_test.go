package smtppool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

var errEnough = errors.New("enough")

// offerUntil offers a message whose context ends after d.
func offerUntil(t *testing.T, r *Relay, from string, d time.Duration) <-chan []result {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, errEnough)
	t.Cleanup(cancel)
	done := make(chan []result, 2)
	r.Offer(ctx, mail(from), func(outcomes []attempt.Outcome) { done <- resultsOf(outcomes) })
	return done
}

func TestOfferEndsWithItsContext(t *testing.T) {
	for name, row := range map[string]struct {
		hangs     string // the verb that gets no reply
		fault     attempt.Fault
		uncertain bool
	}{
		"connecting":  {"CONNECT", attempt.None, false},
		"before MAIL": {"MAIL", attempt.None, false},
		"after RCPT":  {"RCPT", attempt.Message, false},
		"at the end":  {"END", attempt.Message, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				l := &line{relay: &smtptest.Relay{Ext: []string{"SIZE"}, Reply: func(verb, _ string) string {
					if verb == row.hangs {
						return "hang"
					}
					return ""
				}}}
				r := newRelay(t, l.dial, 1)
				began := time.Now()
				got := (<-offerUntil(t, r, "a@x.org", time.Second))[0]
				is.Equal(time.Since(began), time.Second)
				is.True(errors.Is(got.Err, errEnough))
				is.Equal(got.Fault, row.fault)
				is.Equal(got.Uncertain, row.uncertain)
				if row.hangs == "CONNECT" {
					r.Cut(errEnough) // the connection is being opened
				}
				r.Close() // all goroutines have ended
			})
		})
	}
}

func TestOfferOfAnEndedContextIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l := &line{relay: &smtptest.Relay{}}
		r := newRelay(t, l.dial, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for i := range 20 {
			done := make(chan []result, 1)
			r.Offer(ctx, mail(fmt.Sprintf("a%d@x.org", i)), func(o []attempt.Outcome) { done <- resultsOf(o) })
			if got := (<-done)[0]; got.Err != nil {
				is.True(errors.Is(got.Err, context.Canceled))
				is.Equal(got.Fault, attempt.None)
			}
		}
		r.Close()
	})
}

// Messages that share a connection with a canceled message are sent once, over another connection.
func TestCanceledOfferTakesNoOtherAlong(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		l := &line{relay: &smtptest.Relay{Ext: ext, Reply: func(verb, arg string) string {
			if verb == "MAIL" && arg == "slow@x.org" {
				time.Sleep(time.Minute)
			}
			return ""
		}}}
		r := newRelay(t, l.dial, 1)
		slow := offerUntil(t, r, "slow@x.org", time.Second)
		synctest.Wait()
		next, last := offerUntil(t, r, "a@x.org", time.Hour), offerUntil(t, r, "b@x.org", time.Hour)
		is.True(errors.Is((<-slow)[0].Err, errEnough))
		is.Equal((<-next)[0].Err, nil)
		is.Equal((<-last)[0].Err, nil)
		time.Sleep(2 * time.Minute)
		from := map[string]int{}
		for _, m := range l.relay.Messages() {
			from[m.From]++
		}
		is.Equal(from["a@x.org"], 1)
		is.Equal(from["b@x.org"], 1)
		r.Close()
	})
}

// After a change of network, all connections may be dead. Redial opens new connections at once, except for those in a
// transaction.
func TestRedialDropsConnectionsThatAreNotReady(t *testing.T) {
	for _, verb := range []string{"DIAL", "CONNECT", "EHLO"} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				var dead atomic.Bool
				dead.Store(true)
				l := &line{relay: &smtptest.Relay{Reply: func(v, _ string) string {
					if v == verb && dead.Load() {
						return "hang"
					}
					return ""
				}}}
				dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
					if verb == "DIAL" && dead.Load() {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return l.dial(ctx, network, addr)
				}
				r := newRelay(t, dial, 2)
				began := time.Now()
				a, b := offerUntil(t, r, "a@x.org", time.Hour), offerUntil(t, r, "b@x.org", time.Hour)
				time.Sleep(10 * time.Second)
				r.Redial()
				synctest.Wait()
				dead.Store(false)
				r.Redial() // without effect soon after another Redial
				time.Sleep(redialPause)
				is.Equal(len(l.relay.Messages()), 0)
				r.Redial()
				is.Equal((<-a)[0].Err, nil)
				is.Equal((<-b)[0].Err, nil)
				is.Equal(time.Since(began), 10*time.Second+redialPause)
				is.Equal(len(l.relay.Messages()), 2)
				r.Close()
			})
		})
	}
}

func TestRedialLeavesTransactionsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l := &line{relay: &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb == "END" {
				time.Sleep(time.Minute)
			}
			return ""
		}}}
		r := newRelay(t, l.dial, 1)
		got := offerUntil(t, r, "a@x.org", time.Hour)
		time.Sleep(time.Second)
		r.Redial()
		is.Equal((<-got)[0].Err, nil)
		is.Equal(len(l.relay.Messages()), 1)
		is.Equal(l.made, 1)
		r.Close()
	})
}

// pausing is a connection that calls look before the pool looks whether the relay has hung up.
type pausing struct {
	net.Conn
	look func()
}

func (p *pausing) SyscallConn() (syscall.RawConn, error) {
	p.look()
	return nil, errors.New("no socket")
}

// A message is canceled just before the transaction begins on a connection that was idle. The connection then carries
// no other message: that message would fail with the cause of the canceled one.
func TestCanceledBeforeTheTransaction(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the pool does not look at connections there")
	}
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{}
		ctx, cancel := context.WithCancelCause(t.Context())
		look := sync.OnceFunc(func() {
			cancel(errEnough)
			time.Sleep(time.Second)
		})
		r := newRelay(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := relay.Dial(ctx, network, addr)
			return &pausing{nc, look}, err
		}, 1)
		is.Equal(offerTo(r, mail("first@x.org"))[0].Err, nil)
		time.Sleep(2 * time.Second)
		canceled, others := make(chan []result, 1), make(chan []result, 10)
		r.Offer(ctx, mail("canceled@x.org"), func(o []attempt.Outcome) { canceled <- resultsOf(o) })
		for i := range cap(others) {
			r.Offer(t.Context(), mail(fmt.Sprintf("a%d@x.org", i)), func(o []attempt.Outcome) { others <- resultsOf(o) })
		}
		got := (<-canceled)[0]
		is.True(errors.Is(got.Err, errEnough))
		is.Equal(got.Fault, attempt.None) // the relay is not at fault
		for range cap(others) {
			is.Equal((<-others)[0].Err, nil)
		}
		is.Equal(len(relay.Messages()), 1+cap(others))
	})
}

// A relay has not ended a connection that this side has closed because of a canceled message: no limit of messages on a
// connection is learnt.
func TestCanceledOfferTeachesNoLimit(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		relay := &smtptest.Relay{Ext: ext, Reply: func(verb, arg string) string {
			if verb == "MAIL" && arg == "slow@x.org" {
				return "hang"
			}
			return ""
		}}
		r := newRelay(t, relay.Dial, 1)
		for range 3 {
			is.Equal(offerTo(r, mail("a@x.org"))[0].Err, nil)
			is.True(errors.Is((<-offerUntil(t, r, "slow@x.org", time.Second))[0].Err, errEnough))
			time.Sleep(time.Minute)
		}
		is.Equal(r.Learnt(), nil)
	})
}
