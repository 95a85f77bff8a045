package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/matryer/is"
)

// While fresh mail keeps coming, of any user, messages that were tried before are sent, too.
func TestRetriesGoOnBesideFreshMail(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	l := newLanes()
	message := func(name string, user uint32, f flags, priority int32) {
		e := newEntry(name, nil)
		e.user, e.flags, e.priority = user, f, priority
		l.small.Push(e)
	}
	for i := range 3 {
		message(fmt.Sprint("again", i), 1, 0, 0)
	}
	message("urgent", 1, fresh, 1)
	next := func() string { return l.pick(Slots{Any: 1}).Next().name }
	is.Equal(next(), "urgent")
	got := map[string]int{}
	for i := range 40 {
		message(fmt.Sprint("fresh", i), 2, fresh, 0)
		message(fmt.Sprint("more", i), 2, fresh, 0)
		name := next()
		got[name[:4]]++
	}
	is.Equal(got["agai"], 3)
	message("again, urgent", 1, 0, 1)
	is.Equal(next(), "again, urgent") // the priority comes first
}

// While other mail keeps coming, a message during which the relay failed is sent, too, but none of the next ones is.
func TestASuspectMessageGoesOnBesideOtherMail(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	l := newLane()
	number := 0
	message := func(name string, suspect bool, priority int32) {
		e := newEntry(name, nil)
		e.priority = priority
		if suspect {
			e.suspect = &time.Time{}
		}
		l.Push(e)
	}
	others := func() (n int) {
		for ; ; n++ {
			message(fmt.Sprint("other", number), false, 0)
			number++
			if l.Next().suspect != nil {
				return n
			}
		}
	}
	for range 2 * suspectShare { // there was no suspect message meanwhile
		message("before", false, 0)
		l.Next()
	}
	message("first", true, 0)
	message("second", true, 0)
	is.Equal(others(), suspectShare)
	is.Equal(others(), suspectShare)
	message("third", true, 0)
	for range 2 * suspectShare { // the priority comes first
		message("urgent", false, 1)
		is.Equal(l.Next().name, "urgent")
	}
	is.Equal(others(), 0)
	message("last", true, 1)
	for range l.Len() - 1 {
		is.True(l.Next().suspect == nil)
	}
	is.Equal(l.Next().name, "last")
}

// A message of 1 MiB is short for a fast relay, and there may be one connection only.
func TestSmallMessagesGoOnBesideLargeOnes(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	l := newLanes()
	for i := range 3 {
		l.large.Push(newEntry(fmt.Sprint("large", i), nil))
		l.small.Push(newEntry(fmt.Sprint("small", i), nil))
	}
	var order string
	for lane := l.pick(Slots{Any: 1, Large: 1}); lane != nil; lane = l.pick(Slots{Any: 1, Large: 1}) {
		order += l.next(lane).name[:1]
	}
	is.Equal(order, "lslsls")
}
