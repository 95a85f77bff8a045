package queue

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
)

func TestNotedFindsEntriesByIdentity(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	c, many := &f.q.core, 5000
	c.absent.noted = new(noted)
	message := func(i int) *record.Message {
		h := headOf(thisVersion)
		h.MessageID = fmt.Sprintf("<%d@x>", i/2) // each identity belongs to two messages
		return record.New(*h, f.now)
	}
	for i := range many {
		e := newEntry(fmt.Sprint(i), seenAt(f.now))
		e.msg = c.packer.Pack(message(i), f.now)
		c.absent.noted.add(e, c.absent.hash(message(i)))
	}
	for i := 0; i < many; i += 2 {
		names := slices.Collect(c.absent.names(message(i)))
		is.Equal(len(names), 2)
		is.True(names[0] == fmt.Sprint(i) || names[1] == fmt.Sprint(i))
	}
	is.Equal(len(slices.Collect(c.absent.names(message(many)))), 0)
}

// A program may give each message the same Message-ID. One of these messages is found without comparing all others.
func TestNotedHasManyEntriesWithOneIdentity(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	c, m := &f.q.core, record.New(*headOf(thisVersion), f.now)
	c.absent.noted = new(noted)
	for i := range 1000 {
		e := newEntry(fmt.Sprint(i), seenAt(f.now))
		e.msg = c.packer.Pack(m, f.now)
		c.absent.noted.add(e, c.absent.hash(m))
	}
	n := 0
	for i := range c.absent.noted {
		n += c.absent.noted[i].n
	}
	is.Equal(n, 1) // otherwise each message would be compared with those before
	is.Equal(len(slices.Collect(c.absent.names(m))), 1000)
	for name := range c.absent.names(m) {
		is.Equal(name, "0")
		break
	}
}

// A spool may have a million files.
func TestEntryIsSmall(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	is.True(unsafe.Sizeof(entry{}) <= 144) // a size class of the allocator, on all systems
}
