package queue

import (
	"slices"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// changeRecipients is an edit of the recipients of m, a record of the status file, by an operator.
func (w *world) changeRecipients(m *record.Message) {
	if !w.readdress || m.Len() == 0 {
		return
	}
	id := w.real(m.MessageID)
	out := func(r *record.Recipient) { w.accepted[id+r.Address] = true } // nothing is to be sent to r
	const added = "new@x"
	isAdded := func(r *record.Recipient) bool { return r.Address == added }
	switch n := w.d.roll(8); {
	case n == 0:
		w.logf("all recipients of %s are taken out", id)
		for _, r := range m.Recipients() {
			out(r)
		}
		m.To, m.Cc, m.Bcc = nil, nil, nil
	case n == 1 && len(m.To) > 0:
		w.logf("%s of %s is taken out", m.To[0].Address, id)
		out(&m.To[0])
		m.To = m.To[1:]
	case n == 2 && !slices.ContainsFunc(m.Recipients(), isAdded):
		w.logf("a recipient of %s is added", id)
		m.Cc = append(m.Cc, record.Recipient{Address: added})
	default:
		return
	}
	w.edit(id)
}

// runEdits runs a world with that seed, with or without the disk, where an operator edits recipients.
func runEdits(t *testing.T, seed uint64) {
	w := newWorld(t, seed, nil)
	if w.readdress = true; seed%2 == 0 {
		w.disk, w.ageless = &disk{}, seed%4 == 0
		w.newQueue()
	}
	for range 400 {
		w.step()
	}
	w.settle()
}

// TestModelOfRecipientsSeeds repeats runs in which long laboratories have found a fault.
func TestModelOfRecipientsSeeds(t *testing.T) {
	t.Parallel()
	runEdits(t, 1796157714268646679) // renamed and touched, while the former name had a file that could not be opened
}

// TestModelOfRecipients is TestModel where an operator edits recipients.
func TestModelOfRecipients(t *testing.T) {
	t.Parallel()
	first, runs, end := labSeeds(t, 60)
	for seed := first; seed < first+runs && time.Now().Before(end); seed++ {
		ok := t.Run("", func(t *testing.T) { runEdits(t, seed) })
		if !ok {
			t.Fatalf("seed %d", seed)
		}
	}
}
