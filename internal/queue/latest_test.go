package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/matryer/is"
)

// TestANewcomerIsReadBeforeTheRestOfABurst: a new file may be of another sender, who should not wait for a burst. Few
// files are read that cannot be sent yet.
func TestANewcomerIsReadBeforeTheRestOfABurst(t *testing.T) {
	is := is.New(t)
	now := time.Now()
	q := New(testRules(), now)
	full := Room{Free: 0, Busy: true, Reads: 32}
	reads := func() (names []string) {
		q.Advance(now, full, 1000)
		for _, a := range q.TakeActs() {
			names = append(names, a.Name)
		}
		return names
	}
	for i := range 10_000 {
		q.Arrived(fmt.Sprintf("burst-%05d", i), Renamed, now)
	}
	reads()
	now = now.Add(500 * time.Millisecond)
	q.Arrived("new", Renamed, now)
	is.Equal(reads(), []string{"new"}) // at once
	q.Arrived("newer", Renamed, now)
	is.Equal(len(reads()), 0) // not again at once
	at, ok := q.Wake()
	is.True(ok && at.Sub(now) <= earlyPause) // but soon
	now = at
	is.Equal(reads(), []string{"newer"})
	early := 0
	for end := now.Add(400 * time.Millisecond); now.Before(end); now = now.Add(time.Millisecond) {
		early += len(reads())
	}
	is.True(early <= latestFiles) // the other files wait for their turn
	at, ok = q.Wake()
	is.True(ok && at.Sub(now) > earlyPause) // and the loop is not woken before
}

func TestANewcomerIsReadBeforeFilesThatAreReadTooSlowly(t *testing.T) {
	is := is.New(t)
	now := time.Now()
	q := New(testRules(), now)
	for i := range 10_000 {
		q.Arrived(fmt.Sprintf("burst-%05d", i), Renamed, now)
	}
	now = now.Add(100 * time.Millisecond)
	q.Arrived("new", Renamed, now)
	q.Advance(now, Room{Free: 20, Busy: true, Reads: 4}, 1000)
	acts := q.TakeActs()
	is.Equal(len(acts), 4)
	is.Equal(acts[0].Name, "new")
	is.Equal(acts[1].Name[:6], "burst-") // the other acts are for files in turn
}
