package fleet

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// A message waits until the last year that JSON has, and is released from hold: the outcomes of other messages are
// recorded.
func TestAMessageForTheLastYear(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{})
	never := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}, NotBefore: never}
	name := put(t, q, env, mail("never"))
	is.NoErr(q.Hold(t.Context(), name))
	is.NoErr(q.Release(t.Context(), name))
	put(t, q, spoolgore.Envelope{}, mail("now"))
	work(t, q, options(relay))
	eventually(t, "the other message is sent", func() bool { return rows(t, q) == 1 })
	eventually(t, "the message waits", func() bool { return inState(t, q, store.Waiting) == 1 })
	is.Equal(subjects(relay), map[string]int{"now b@example.org": 1})
}
