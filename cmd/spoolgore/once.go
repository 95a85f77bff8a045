package main

import (
	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A onceTally counts the messages of a spool that -once has tried, to show how far it has come. Messages that are not due are
// never tried, so that it may end before all are.
type onceTally struct {
	show             func(done, total int64)
	total            int64 // in the spool when it began, or that have come, whichever is more
	tried, came      int64
	outcome, arrival string // the file of the last event of that kind: those of one transaction follow each other
}

// newTally returns one that shows what it counts by show.
func newTally(dir string, show func(done, total int64)) *onceTally {
	t := &onceTally{show: show}
	if d, err := spooldir.New(dir); err == nil {
		names, _ := d.Names(spooldir.Spool) // if it cannot be read the run will say so
		t.total = int64(len(names))
	}
	return t
}

// tell is an OnEvent.
func (t *onceTally) tell(ev spoolgore.Event) {
	switch {
	case ev.Kind == spoolgore.EventQueued && ev.File != t.arrival:
		t.arrival = ev.File
		t.came++
		t.total = max(t.total, t.came)
	case ev.Kind == spoolgore.EventDeferred && (ev.Fault == spoolgore.FaultRelay || ev.Fault == spoolgore.FaultNone):
		return // it was the relay that was tried
	case (ev.Kind == spoolgore.EventSent || ev.Kind == spoolgore.EventFailed || ev.Kind == spoolgore.EventDeferred) && ev.File != t.outcome:
		t.outcome = ev.File
		t.tried++
	default:
		return
	}
	t.show(min(t.tried, t.total), t.total)
}
