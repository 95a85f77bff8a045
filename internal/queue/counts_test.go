package queue

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
)

// inspectCounts compares the counters of q with a count of all entries by state and record.
func inspectCounts(t testing.TB, q *Queue) {
	t.Helper()
	var sum Counts
	looks := 0 // entries with an act Stat count in the group from before
	for e := range q.all() {
		switch e.state {
		case unread:
			switch {
			case e.seen == nil:
			case e.has(temporary):
				sum.Temporary++
			case e.seen.err != "":
				sum.Unusable++
			case e.has(recalled) && e.later == groupScheduled:
				sum.Scheduled++
			case e.has(recalled) && e.later == groupDeferred:
				sum.Deferred++
			case e.has(recalled):
				sum.Waiting++
			default:
				sum.New++
			}
		case opening, checking:
			if e.group != uncounted { // in hold/, or missing
				looks++
			}
		case waiting:
			m := e.msg.Message()
			if at, _ := m.NextAttempt(); m.Attempts == 0 && !m.NotBefore.IsZero() && !at.After(m.NotBefore) {
				sum.Scheduled++
			} else {
				sum.Deferred++
			}
		case ready:
			sum.Waiting++
		case busy, recording, removing, failing:
			sum.Sending++
		case finishing:
			sum.Unusable++
		}
	}
	got, more := CountsOf(q), 0
	for _, n := range [][2]int{
		{got.New, sum.New}, {got.Waiting, sum.Waiting}, {got.Sending, sum.Sending}, {got.Deferred, sum.Deferred},
		{got.Scheduled, sum.Scheduled}, {got.Unusable, sum.Unusable}, {got.Temporary, sum.Temporary},
	} {
		if n[0] < n[1] {
			t.Fatalf("the counters say %+v, and the entries are %+v, with %d looks under way", got, sum, looks)
		}
		more += n[0] - n[1]
	}
	if more != looks {
		t.Fatalf("the counters say %+v, and the entries are %+v, with %d looks under way", got, sum, looks)
	}
}

// TestCounts checks the counters for one file in each state. TestModel checks that they equal a count of all entries
// after random inputs.
func TestCounts(t *testing.T) {
	t.Parallel()
	want := map[string]Counts{
		"unread": {New: 1}, "unread again": {Deferred: 1}, "opening": {New: 1}, "opening again": {Deferred: 1},
		"waiting": {Deferred: 1}, "ready": {Waiting: 1}, "busy": {Sending: 1}, "recording": {Sending: 1},
		"removing": {Sending: 1}, "failing": {Sending: 1}, "finishing": {Unusable: 1}, "finishing failed": {Unusable: 1},
		"held": {}, "missing": {}, "checking unread": {Deferred: 1}, "checking waiting": {Deferred: 1},
		"checking ready": {Waiting: 1}, "checking finishing": {Unusable: 1}, "checking held": {},
	}
	for _, state := range states {
		t.Run(state, func(t *testing.T) {
			is := is.New(t)
			is.Equal(CountsOf(in(t, state).q), want[state])
		})
	}
}

// TestCountsOfFilesThatCannotBeSent checks the counters for a file that was examined once.
func TestCountsOfFilesThatCannotBeSent(t *testing.T) {
	t.Parallel()
	scheduled := headOf(thisVersion)
	scheduled.Envelope = &message.Envelope{From: "s@x", To: []string{"a@x"}, NotBefore: time.Now().Add(time.Hour)}
	for _, test := range []struct {
		name string
		read Result
		want Counts
	}{
		{"scheduled", Result{Version: thisVersion, Head: scheduled}, Counts{Scheduled: 1}},
		{"temporary name", Result{Version: thisVersion, Trouble: Temporary, Err: errDisk}, Counts{Temporary: 1}},
		{"no message", Result{Version: thisVersion, Trouble: Unusable, Err: errDisk}, Counts{Unusable: 1}},
		{"gone", Result{Trouble: Gone, Err: errDisk}, Counts{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			f := in(t, "opening")
			f.now = f.now.Add(2 * quietFor)
			f.answer(test.read)
			is.Equal(CountsOf(f.q), test.want)
		})
	}
}
