package fleet

import (
	"context"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// within returns the result of done, or fails the test.
func within(t *testing.T, limit time.Duration, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatal("Work has not ended within ", limit)
		return nil
	}
}

// A worker that cannot record an outcome, as the database is gone, ends all the same.
func TestAWorkerEndsWithoutTheDatabase(t *testing.T) {
	is := is.New(t)
	server, url := own(t)
	q := open(t, Options{DB: url, Lease: childLease})
	put(t, q, spoolgore.Envelope{}, mail("one"))
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "END" {
			server.Crash()
		}
		return ""
	}}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Work(ctx, options(relay)) }()
	eventually(t, "the message is accepted", func() bool { return len(relay.Messages()) == 1 })
	stop()
	is.NoErr(within(t, 10*childLease, done))
	is.NoErr(server.Start())
	is.Equal(rows(t, q), 1) // the acceptance is not recorded
}

// The context of a transaction ends with Grace: a Transport of the application ends.
func TestATransportIsCutAfterGrace(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{Lease: childLease})
	put(t, q, spoolgore.Envelope{}, mail("one"))
	begun := make(chan bool, 1)
	opts := spoolgore.Options{Grace: 50 * time.Millisecond, Transport: spoolgore.TransportFunc(
		func(ctx context.Context, _ *spoolgore.Transaction) []spoolgore.Result {
			begun <- true
			<-ctx.Done()
			return []spoolgore.Result{{Err: &spoolgore.DeliveryError{Fault: spoolgore.FaultNone, Err: ctx.Err()}}}
		})}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Work(ctx, opts) }()
	<-begun
	stop()
	is.NoErr(within(t, childLease, done))
	all, err := q.store.List(t.Context(), listAll)
	is.NoErr(err)
	is.Equal(len(all), 1)
	is.Equal(all[0].Reason, "") // no attempt is counted
}

// A context that ends during the start is no error of the start.
func TestWorkOfAContextThatHasEnded(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	is.NoErr(q.Work(ctx, options(&smtptest.Relay{})))
	is.True(q.Work(ctx, spoolgore.Options{}) != nil) // a wrong option is one
}
