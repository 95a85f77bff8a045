package fleet

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// While the fleet is paused, no message is given up.
func TestNothingIsGivenUpInAPause(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{Lease: childLease})
	is.NoErr(q.Pause(t.Context()))
	opts := options(relay)
	opts.MaxAge = time.Second
	work(t, q, opts)
	put(t, q, spoolgore.Envelope{}, mail("one"))
	time.Sleep(4 * time.Second) // the age, a last chance as long, and looks at the queue
	is.Equal(inState(t, q, store.Ready), 1)
	is.NoErr(q.Resume(t.Context()))
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(subjects(relay), map[string]int{"one b@example.org": 1})
}
