package queue

import (
	"fmt"
	"testing"

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
