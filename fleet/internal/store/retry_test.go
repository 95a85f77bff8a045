package store

import (
	"testing"
	"time"

	"github.com/matryer/is"
)

// A message that is ready, or is being sent, can be retried: the message is not gone.
func TestRetryOfAMessageThatIsTriedAnyway(t *testing.T) {
	is := is.New(t)
	l := &Leases{open(t)}
	id := add(t, l.Store)
	w := enter(t, l, time.Minute)
	retry := func() (found bool) {
		change := func(*string, bool, time.Time) (string, int, error) { return "{}", 1, nil }
		found, err := Admin{l.Store}.Retry(t.Context(), id, change)
		is.NoErr(err)
		return found
	}
	is.True(retry())
	claimOne(t, l, w)
	is.True(retry())
	state, worker := stateOf(t, l.Store, id)
	is.Equal(state, LeasedOut)
	is.Equal(worker, w)
	_, err := Admin{l.Store}.Hold(t.Context(), []int64{id})
	is.NoErr(err)
	is.NoErr(l.Leave(t.Context(), w))
	is.True(!retry()) // held
}
