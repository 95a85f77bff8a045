package queue

import "github.com/unbit/spoolgore/internal/record"

// noted finds entries of the last run by the hash of the identity of their messages. An entry takes 11 bytes. Entries
// with another name since stay. Like index, noted consists of many tables.
type noted [256]notedTable

// of returns the table for the hash h.
func (t *noted) of(h uint32) *notedTable { return &t[h>>24] }

// add adds e, whose identity has the hash h.
func (t *noted) add(e *entry, h uint64) {
	e.hash = uint32(h)
	t.of(e.hash).add(e)
}

// names yields the names of entries with the identity of m, which has the hash h, and returns false if yield did.
func (t *noted) names(m *record.Message, h uint64, yield func(string) bool) bool {
	return t.of(uint32(h)).names(m, uint32(h), yield)
}

type notedTable struct {
	slots []*entry            // a hash table with linear probing: the first entry of each hash
	n     int                 // entries in slots
	more  map[uint32][]*entry // further entries, by hash: a program may give each message the same Message-ID
}

// slot returns the place in slots of the first entry with the hash h, or the free place for such an entry.
func (t *notedTable) slot(h uint32) int {
	i := int(uint64(h<<8) * uint64(len(t.slots)) >> 32)
	for t.slots[i] != nil && t.slots[i].hash != h {
		i = (i + 1) % len(t.slots)
	}
	return i
}

func (t *notedTable) add(e *entry) {
	if (t.n+1)*5 > len(t.slots)*4 {
		old := t.slots
		t.slots = make([]*entry, max(8, t.n*5/3))
		for _, e := range old {
			if e != nil {
				t.slots[t.slot(e.hash)] = e
			}
		}
	}
	if i := t.slot(e.hash); t.slots[i] == nil {
		t.slots[i] = e
		t.n++
		return
	}
	if t.more == nil {
		t.more = make(map[uint32][]*entry)
	}
	t.more[e.hash] = append(t.more[e.hash], e)
}

func (t *notedTable) names(m *record.Message, h uint32, yield func(string) bool) bool {
	if t.n == 0 {
		return true
	}
	first := t.slots[t.slot(h)]
	if first == nil {
		return true
	}
	is := func(e *entry) bool { return !e.msg.Holds() || identity(e.msg.Message()) == identity(m) }
	if is(first) && !yield(first.name) {
		return false
	}
	for _, e := range t.more[h] {
		if is(e) && !yield(e.name) {
			return false
		}
	}
	return true
}
