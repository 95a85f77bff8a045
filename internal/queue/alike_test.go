package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/matryer/is"
)

// A program gives each message the same Message-ID. Very many of them were deleted a moment ago, and it goes on: the
// others do not wait for long.
func TestManyMissingMessagesWithOneMessageID(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	d := newMemSpool(t)
	const many = 20_000
	for i := range many {
		d.spool[fmt.Sprint("m", i)] = file("<1@x>", "body", uint64(10+i))
	}
	all := d.spool
	d.scan()
	for more := true; more; {
		more = d.q.Advance(d.now, Room{Reads: many, Free: 10}, many)
		for _, a := range d.q.TakeActs() {
			d.q.Acted(a, d.do(a), d.now)
		}
	}
	d.spool = map[string]memFile{}
	for name := range all {
		d.q.Notice(nil, []string{name}, d.now)
	}
	for _, a := range d.q.TakeActs() {
		d.q.Acted(a, d.do(a), d.now)
	}
	is.True(d.q.Misses())
	began := time.Now()
	const others = 50
	for i := range others {
		name := fmt.Sprint("n", i)
		d.spool[name] = file("<1@x>", "body", uint64(1_000_000+i))
		d.q.Notice([]string{name}, nil, d.now)
		d.q.Advance(d.now, Room{Reads: 10, Free: 10}, 10)
		for _, a := range d.q.TakeActs() {
			d.q.Acted(a, d.do(a), d.now)
		}
	}
	each := time.Since(began) / others
	t.Log(each)
	is.True(each < 40*time.Millisecond) // a look at each of them takes 135 ms
}
