package queue

import (
	"testing"

	"github.com/matryer/is"
)

// len returns the number of entries.
func (x *index) len() (n int) {
	for i := range x {
		n += x[i].n
	}
	return n
}

// Every entry is found until it is removed, and the tables have about the same number of entries: growing one large
// table would take the owner of the queue too long.
func TestIndex(t *testing.T) {
	is := is.New(t)
	const files = 100_000
	var x index
	entries := make([]*entry, files)
	for i := range entries {
		// like files written one after the other: growing inodes and times, one size
		entries[i] = &entry{id: Version{Inode: uint64(1000 + i), Size: 4096, Modified: 1_700_000_000_000_000_000 + int64(i)*1_000_000}}
		x.add(entries[i])
	}
	for i := range x {
		is.True(x[i].n < 2*files/len(x))
	}
	for i, e := range entries {
		is.Equal(x.find(e.id, func(*entry) bool { return true }), e)
		if i%2 == 0 {
			x.remove(e)
		}
	}
	is.Equal(x.len(), files/2)
	for i, e := range entries {
		is.Equal(x.find(e.id, func(*entry) bool { return true }) == e, i%2 == 1)
	}
}
