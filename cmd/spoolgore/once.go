package main

import (
	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A onceCounter counts the messages that -once has tried, for a progress bar. Messages that are not due are never
// tried: the run may end before all are counted.
type onceCounter struct {
	show             func(done, total int64)
	total            int64 // messages in the spool at the start, or queued since, whichever is more
	tried, came      int64
	outcome, arrival string // file of the last event of that kind: events of one transaction are consecutive
}

// newOnceCounter returns a counter that calls show after each change.
func newOnceCounter(dir string, show func(done, total int64)) *onceCounter {
	c := &onceCounter{show: show}
	if d, err := spooldir.New(dir); err == nil {
		names, _ := d.Names(spooldir.Spool) // the run reports an error of the directory
		c.total = int64(len(names))
	}
	return c
}

// observe is an OnEvent.
func (c *onceCounter) observe(ev spoolgore.Event) {
	switch {
	case ev.Kind == spoolgore.EventQueued && ev.File != c.arrival:
		c.arrival = ev.File
		c.came++
		c.total = max(c.total, c.came)
	case ev.Kind == spoolgore.EventDeferred && (ev.Fault == spoolgore.FaultRelay || ev.Fault == spoolgore.FaultNone):
		return // only the relay was tried
	case ev.File != c.outcome &&
		(ev.Kind == spoolgore.EventSent || ev.Kind == spoolgore.EventFailed || ev.Kind == spoolgore.EventDeferred):
		c.outcome = ev.File
		c.tried++
	default:
		return
	}
	c.show(min(c.tried, c.total), c.total)
}
