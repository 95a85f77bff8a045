package store

import (
	"testing"
	"time"

	"github.com/matryer/is"
)

// A message that is held while it is being sent does not grow older in hold, also if the attempt defers the message.
func TestHoldOfAMessageThatIsBeingSentIsNoAge(t *testing.T) {
	is := is.New(t)
	l := &Leases{open(t)}
	id := add(t, l.Store)
	w := enter(t, l, time.Minute)
	m := claimOne(t, l, w)
	_, err := Admin{l.Store}.Hold(t.Context(), []int64{id})
	is.NoErr(err)
	later := m.Created.Add(time.Hour)
	stale, err := l.Settle(t.Context(), Batch{Changes: []Change{
		{ID: id, Lease: m.Lease, Worker: w, Version: m.Version, State: Waiting, Due: &later, Rcpts: 1},
	}}, nil)
	is.NoErr(err)
	is.Equal(len(stale), 0)
	state, _ := stateOf(t, l.Store, id)
	is.Equal(state, Held)
	_, err = Admin{l.Store}.Release(t.Context(), []int64{id})
	is.NoErr(err)
	all, err := l.List(t.Context(), Selection{})
	is.NoErr(err)
	shift := all[0].Created.Sub(m.Created)
	is.True(shift > 0 && shift < time.Minute)
}

// A hold of a message that is to be deleted at the end of its transaction does not take the deletion back.
func TestHoldKeepsNoDeletedMessage(t *testing.T) {
	is := is.New(t)
	l := &Leases{open(t)}
	id := add(t, l.Store)
	w := enter(t, l, time.Minute)
	claimOne(t, l, w)
	_, err := Admin{l.Store}.Delete(t.Context(), []int64{id})
	is.NoErr(err)
	_, err = Admin{l.Store}.Hold(t.Context(), []int64{id})
	is.NoErr(err)
	is.NoErr(l.Leave(t.Context(), w))
	n, err := l.Count(t.Context())
	is.NoErr(err)
	is.Equal(n, 0)
}

// A message is given up that was deleted meanwhile: the sender gets no report.
func TestADeletedMessageMakesNoReport(t *testing.T) {
	is := is.New(t)
	l := &Leases{open(t)}
	id := add(t, l.Store)
	w := enter(t, l, time.Minute)
	m := claimOne(t, l, w)
	_, err := Admin{l.Store}.Delete(t.Context(), []int64{id})
	is.NoErr(err)
	_, err = l.Settle(t.Context(), Batch{
		Changes: []Change{{ID: id, Lease: m.Lease, Worker: w, Version: m.Version, State: Failed}},
		Reports: []Report{{ID: id, UID: "report", Envelope: []byte(`{"from": "", "to": ["a@x.org"]}`), Content: []byte("x")}},
	}, nil)
	is.NoErr(err)
	n, err := l.Count(t.Context())
	is.NoErr(err)
	is.Equal(n, 0)
}
