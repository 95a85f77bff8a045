package worker

import (
	"testing"
	"time"

	"github.com/matryer/is"
)

// A message is parked for the rest of its relays, 5 seconds at most. Of very many, 500 come back in a second, and each
// after 10 minutes at most.
func TestParkedMessagesComeBackOneAfterTheOther(t *testing.T) {
	is := is.New(t)
	now := time.Unix(1_000_000, 0)
	p := parking{}
	is.Equal(p.next(now, time.Second), now.Add(time.Second))
	is.Equal(p.next(now, time.Minute), now.Add(parkTime))

	back := map[int64]int{} // number of messages by second
	for range 100_000 {
		back[p.next(now, time.Minute).Unix()]++
	}
	for _, n := range back {
		is.True(n <= 500)
	}
	is.Equal(p.last, now.Add(parkTime).Add(100_000*parkPace))

	for range 1_000_000 {
		is.True(!p.next(now, time.Minute).After(now.Add(mostPark)))
	}
	later := now.Add(time.Hour) // the backlog is gone
	is.Equal(p.next(later, time.Second), later.Add(time.Second))
}
