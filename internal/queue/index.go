package queue

import "math/bits"

// index finds entries by the version of their file. An entry takes 11 bytes. The index consists of many tables: a table
// that grows moves all of its entries, and with a million of them in one table the owner would wait for 0.1 to 0.3 s.
type index [256]table

// find returns an entry of version v for which match reports true; nil: there is none.
func (x *index) find(v Version, match func(*entry) bool) *entry { return x.of(v).find(v, match) }

// add adds e, which has a version.
func (x *index) add(e *entry) { x.of(e.id).add(e) }

// remove removes e before the version of e changes. e must be in x.
func (x *index) remove(e *entry) { x.of(e.id).remove(e) }

// of returns the table for v.
func (x *index) of(v Version) *table { return &x[uint8(hash(v)>>8)] }

// table is a hash table with linear probing.
type table struct {
	slots []*entry
	n     int
}

func hash(v Version) uint64 {
	h := v.Inode*0x9e3779b97f4a7c15 ^ uint64(v.Modified)
	h = (h ^ h>>29 ^ uint64(v.Size)) * 0xbf58476d1ce4e5b9
	h ^= h >> 32
	return h * 0x94d049bb133111eb
}

// home returns the slot at which the search for v begins.
func (x *table) home(v Version) int {
	slot, _ := bits.Mul64(hash(v), uint64(len(x.slots)))
	return int(slot)
}

func (x *table) find(v Version, match func(*entry) bool) *entry {
	if x.n == 0 {
		return nil
	}
	for i := x.home(v); x.slots[i] != nil; i = x.next(i) {
		if e := x.slots[i]; e.id == v && match(e) {
			return e
		}
	}
	return nil
}

func (x *table) next(i int) int {
	if i++; i == len(x.slots) {
		return 0
	}
	return i
}

func (x *table) add(e *entry) {
	if x.n++; x.n*5 > len(x.slots)*4 {
		x.resize(max(8, x.n*5/3))
	}
	x.put(e)
}

func (x *table) put(e *entry) {
	i := x.home(e.id)
	for x.slots[i] != nil {
		i = x.next(i)
	}
	x.slots[i] = e
}

func (x *table) remove(e *entry) {
	i := x.home(e.id)
	for x.slots[i] != e {
		i = x.next(i)
	}
	x.n--
	for j := x.next(i); x.slots[j] != nil; j = x.next(j) {
		// The entry in slot j may fill the gap i unless the search for it begins behind the gap.
		if home := x.home(x.slots[j].id); (j-home+len(x.slots))%len(x.slots) >= (j-i+len(x.slots))%len(x.slots) {
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = nil
	if len(x.slots) > 64 && x.n*8 < len(x.slots) {
		x.resize(len(x.slots) / 4)
	}
}

func (x *table) resize(n int) {
	old := x.slots
	x.slots = make([]*entry, n)
	for _, e := range old {
		if e != nil {
			x.put(e)
		}
	}
}
