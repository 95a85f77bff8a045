package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
)

// The loop waits for Next: the time must grow with the number of recipients, not with its square.
func TestNextWithManyRecipientsTakesLittleTime(t *testing.T) {
	const n = 60_000
	is := is.New(t)
	now := time.Unix(1_700_000_100, 0)
	q := New(testRules(), now)
	q.Notice([]string{benchName(1)}, nil, now)
	q.Advance(now, Room{Reads: 1, Free: 1 << 30}, 1)
	for _, a := range q.TakeActs() {
		v, h := benchHead(1)
		h.Addresses.To = make([]message.Address, n)
		for i := range n {
			h.Addresses.To[i].Addr = fmt.Sprintf("recipient%06d@example.org", i)
		}
		q.Acted(a, Result{Version: v, Head: h}, now)
	}
	begin := time.Now()
	j, ok := q.Next(0, Slots{Any: 1, Large: 1}, now)
	is.True(time.Since(begin) < 10*time.Second) // a quadratic step takes 15 s and more
	is.True(ok)
	is.Equal(len(j.To), n)
}
