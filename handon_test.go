package spoolgore

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// otherQueue is a Transport to another queue. It keeps the offers. The first offers fail.
type otherQueue struct {
	mu     sync.Mutex // Deliver runs in several goroutines
	fails  int
	offers []Transaction
	times  []time.Time
}

func (*otherQueue) HandsOn() {}

func (o *otherQueue) Deliver(_ context.Context, t *Transaction) []Result {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.times = append(o.times, time.Now())
	if o.fails--; o.fails >= 0 {
		return slices.Repeat([]Result{{Err: &DeliveryError{Fault: FaultRelay, Err: context.DeadlineExceeded}}}, len(t.To))
	}
	o.offers = append(o.offers, *t)
	return slices.Repeat([]Result{{Reply: "250 queued", DSN: true}}, len(t.To))
}

// The other queue has retries and limits of its own: every message is offered at once, with its identity and age.
func TestMessagesAreHandedOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		other := &otherQueue{}
		var kinds []EventKind
		s := New(t.TempDir(), Options{Transport: other, Rate: Rate{{1, 24 * time.Hour}}, Watch: WatchOff, OnEvent: func(e Event) {
			kinds = append(kinds, e.Kind)
		}})
		later := time.Now().Add(48 * time.Hour)
		for range 2 {
			env := Envelope{From: "a@example.com", To: []string{"b@example.org"}, NotBefore: later}
			_, err := s.Put(t.Context(), env, strings.NewReader("Message-ID: <1@example.com>\n\nx\n"))
			is.NoErr(err)
		}
		is.NoErr(s.Drain(t.Context()))
		is.Equal(kinds, []EventKind{EventQueued, EventQueued, EventHandedOn, EventHandedOn})
		is.Equal(len(other.offers), 2)
		for _, o := range other.offers {
			is.True(o.NotBefore.Equal(later)) // the other queue needs NotBefore
			is.Equal(o.MessageID, "<1@example.com>")
			is.Equal(o.Attempt, 1)
			is.True(!o.Enqueued.IsZero())
		}
		is.True(other.offers[0].Identity != other.offers[1].Identity) // the messages are two files
	})
}

// A queue that cannot be reached is tried again after 10 seconds at most, and no attempt is counted.
func TestAnotherQueueRestsForAShortTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		other := &otherQueue{fails: 20}
		s := New(t.TempDir(), Options{Transport: other, Watch: WatchOff})
		env := Envelope{From: "a@example.com", To: []string{"b@example.org"}}
		_, err := s.Put(t.Context(), env, strings.NewReader("Message-ID: <1@example.com>\n\nx\n"))
		is.NoErr(err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		is.NoErr(s.Run(ctx))
		is.Equal(len(other.offers), 1)
		is.Equal(other.offers[0].Attempt, 1) // the failure is not counted as an attempt
		for i, at := range other.times[1:] {
			is.True(at.Sub(other.times[i]) <= 12*time.Second) // 10 seconds, varied by a tenth
		}
	})
}
