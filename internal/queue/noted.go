package queue

import "github.com/unbit/spoolgore/internal/record"

// noted finds entries of the last run by the hash of the identity of their messages. An entry takes 11 bytes. Entries
// with another name since stay.
type noted struct {
	slots []*entry // a hash table with linear probing
	n     int
}

func (t *noted) home(h uint32) int { return int(uint64(h) * uint64(len(t.slots)) >> 32) }

// add adds e, whose identity has the hash h.
func (t *noted) add(e *entry, h uint64) {
	e.hash = uint32(h)
	if t.n++; t.n*5 > len(t.slots)*4 {
		old := t.slots
		t.slots = make([]*entry, max(8, t.n*5/3))
		for _, e := range old {
			if e != nil {
				t.put(e)
			}
		}
	}
	t.put(e)
}

func (t *noted) put(e *entry) {
	i := t.home(e.hash)
	for t.slots[i] != nil {
		i = (i + 1) % len(t.slots)
	}
	t.slots[i] = e
}

// names returns the names of entries with the identity of m, which has the hash h.
func (t *noted) names(m *record.Message, h uint64) (names []string) {
	if t.n == 0 {
		return nil
	}
	for i := t.home(uint32(h)); t.slots[i] != nil; i = (i + 1) % len(t.slots) {
		if e := t.slots[i]; e.hash == uint32(h) && (!e.msg.Holds() || identity(e.msg.Message()) == identity(m)) {
			names = append(names, e.name)
		}
	}
	return names
}
