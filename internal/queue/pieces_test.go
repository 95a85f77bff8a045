package queue

import (
	"maps"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
)

// acceptedIn returns the accepted recipients of each message of a snapshot, by Message-ID.
func acceptedIn(all []Named) map[string]map[string]bool {
	found := make(map[string]map[string]bool)
	for _, n := range all {
		m := n.Record.Message()
		if m.MessageID == "" {
			continue // of a file that cannot be read
		}
		if found[m.MessageID] == nil {
			found[m.MessageID] = make(map[string]bool)
		}
		for _, r := range m.Recipients() {
			if r.Accepted() {
				found[m.MessageID][r.Address] = true
			}
		}
	}
	return found
}

// Between the pieces of a snapshot files are renamed, moved, edited, sent and removed. Every message that was known at
// the beginning is in the snapshot, with every acceptance.
func TestSnapshotInPiecesForgetsNoMessage(t *testing.T) {
	t.Parallel()
	messages := 0
	for seed := range uint64(150) {
		w := newWorld(t, seed, nil)
		ids, unusable, edited := map[*entry]string{}, map[string]bool{}, map[string]bool{}
		step := func() {
			w.step()
			maps.Copy(edited, w.edited)
			for _, e := range w.q.entries {
				id := e.msg.Message().MessageID
				if e.msg.Holds() && id == "" { // a file that can be no message: the queue has forgotten the message
					unusable[ids[e]] = true
				}
				ids[e] = id
			}
		}
		for range 60 {
			step()
		}
		q, before := w.q, acceptedIn(w.snapshot())
		var got []Named
		work := w.q.Snap(w.now, func(all []Named) { got = all })
		for work.Do(1, w.now) {
			for range 4 {
				step()
			}
		}
		if w.q != q {
			continue // a restart has ended the snapshot
		}
		if len(q.shots) > 0 {
			t.Fatal("a snapshot that is done goes on")
		}
		after := acceptedIn(got)
		for id, to := range before {
			messages++
			if unusable[id] {
				continue
			}
			if after[id] == nil {
				w.fatalf("seed %d: the snapshot has lost %s", seed, id)
			}
			for address := range to {
				if !after[id][address] && !edited[id] {
					w.fatalf("seed %d: the snapshot has lost that %s has accepted %s", seed, address, id)
				}
			}
		}
	}
	if messages < 100 {
		t.Fatalf("only %d messages in all snapshots", messages)
	}
}

// A file that is seen while a snapshot is taken is in the snapshot with what the last run has left of it.
func TestSnapshotInPiecesHasWhatIsSeenMeanwhile(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	for _, name := range []string{"m", "n"} {
		h := headOf(thisVersion)
		h.Name, h.MessageID = name, "<"+name+"@x>"
		f.q.Remember(name, record.New(*h, f.now), f.now)
	}
	var got []Named
	work := f.q.Snap(f.now, func(all []Named) { got = all })
	is.True(work.Do(1, f.now))
	f.q.Notice([]string{"m", "n"}, nil, f.now)
	is.True(!work.Do(10, f.now))
	is.Equal(len(acceptedIn(got)), 2) // both messages
	is.Equal(len(got), 2)             // each of them once
}

// Flush in pieces makes every message due that waited at the beginning.
func TestFlushInPieces(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "waiting")
	work := f.q.Flush(f.now)
	is.True(!work.Do(1, f.now))
	f.q.Advance(f.now, Room{Reads: 1, Free: 1}, 10)
	is.Equal(f.told(), "ready")
}
