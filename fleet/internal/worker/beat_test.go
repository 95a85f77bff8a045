package worker

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/fleet/internal/store"
)

// The clock of this host stood still while that of the server went on, as in a virtual machine that was suspended: the
// messages that were leased before may be another worker's.
func TestALeaseEndsByTheClockOfTheServer(t *testing.T) {
	is := is.New(t)
	var shared pgtest.Shared
	defer shared.Close()
	s, err := store.Open(t.Context(), shared.DB(t))
	is.NoErr(err)
	defer s.Close()
	p := &pulse{
		store: &store.Leases{Store: s}, name: "w", lease: time.Minute, look: time.Hour, clock: new(clock),
		status: func() any { return nil }, heard: func(store.Beat) {},
	}
	is.NoErr(p.enter(t.Context()))
	before := p.now()
	is.NoErr(p.beat(t.Context()))
	is.True(p.holds(before))
	p.at = p.at.Add(-2 * time.Minute)
	is.NoErr(p.beat(t.Context()))
	is.True(!p.holds(before))
	is.True(p.holds(p.now()))
}
