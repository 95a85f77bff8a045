package store

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/matryer/is"
)

// enter registers a worker.
func enter(t *testing.T, l *Leases, lease time.Duration) int64 {
	t.Helper()
	id, err := l.Enter(t.Context(), "w", lease, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// add puts a message, and returns the id.
func add(t *testing.T, s *Store) int64 {
	t.Helper()
	n, err := s.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Put(t.Context(), Item{
		UID: fmt.Sprint("x", n), Envelope: []byte(`{"from": "a@x.org", "to": ["b@x.org"]}`), Pieces: [][]byte{[]byte("x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a.ID
}

// claimOne leases the only message.
func claimOne(t *testing.T, l *Leases, worker int64) Leased {
	t.Helper()
	all, err := l.Claim(t.Context(), worker, 1, "")
	if err != nil || len(all) != 1 {
		t.Fatal(len(all), err)
	}
	return all[0]
}

// stateOf returns the state and the worker of a message.
func stateOf(t *testing.T, s *Store, id int64) (state State, worker int64) {
	t.Helper()
	err := s.pool.QueryRow(t.Context(), `SELECT state, coalesce(worker, 0) FROM spoolgore.message WHERE id = $1`, id).
		Scan(&state, &worker)
	if err != nil {
		t.Fatal(err)
	}
	return state, worker
}

// and no third worker sends the message, too.
func TestGiveBackEndsNoLeaseOfAnotherWorker(t *testing.T) {
	is := is.New(t)
	l := &Leases{open(t)}
	id := add(t, l.Store)
	lost := enter(t, l, time.Second)
	was := claimOne(t, l, lost)
	_, err := l.pool.Exec(t.Context(), `UPDATE spoolgore.worker SET beat = beat - interval '1 minute'`)
	is.NoErr(err)
	_, err = l.pool.Exec(t.Context(), `UPDATE spoolgore.worker SET lease = '1 ms'`) // the server is young
	is.NoErr(err)
	other := enter(t, l, time.Minute)
	_, err = l.Tidy(t.Context(), true, time.Now().Add(time.Minute), nil)
	is.NoErr(err)
	now := claimOne(t, l, other)
	is.NoErr(l.GiveBack(t.Context(), []Key{{ID: id, Lease: was.Lease, Worker: lost}}))
	state, worker := stateOf(t, l.Store, id)
	is.Equal(state, LeasedOut)
	is.Equal(worker, other)
	is.NoErr(l.GiveBack(t.Context(), []Key{{ID: id, Lease: now.Lease, Worker: other}}))
	state, _ = stateOf(t, l.Store, id)
	is.Equal(state, Ready)
}

// A statement that ends unknown leases reaches the server late: the worker may have other leases then.
func TestReclaimThatComesLateHasNoEffect(t *testing.T) {
	is := is.New(t)
	l := &Leases{open(t)}
	id := add(t, l.Store)
	w := enter(t, l, time.Minute)
	claimOne(t, l, w)
	is.NoErr(l.Reclaim(t.Context(), w, []int64{}, time.Now().Add(-time.Second)))
	state, _ := stateOf(t, l.Store, id)
	is.Equal(state, LeasedOut)
	is.NoErr(l.Reclaim(t.Context(), w, []int64{}, time.Now().Add(time.Minute)))
	state, _ = stateOf(t, l.Store, id)
	is.Equal(state, Ready)
}

// TestJSON checks that JSON means the same with and without escapes, and has none that a database refuses.
func TestJSON(t *testing.T) {
	is := is.New(t)
	for text, want := range map[string]string{
		"a\x00b": "a\ufffdb", "\xff": "\ufffd", `\u0000\`: `\u0000\`, `\\ufffd`: `\\ufffd`, "\\\u2028": "\\\u2028",
		"\"\u2029<&\t": "\"\u2029<&\t", "\\\x00": "\\\ufffd",
	} {
		var got string
		encoded := JSON(text)
		is.NoErr(json.Unmarshal([]byte(encoded), &got))
		is.Equal(got, want)
	}
}
