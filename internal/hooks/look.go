package hooks

import (
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// countPause is the shortest time between two searches for the oldest message.
const countPause = 30 * time.Second

// states are the states that events are about.
type states struct {
	down     map[string]spoolgore.RelayHealth // relays in trouble, by name and senders
	late     map[time.Duration]bool           // ages for which the event Oldest came
	counting bool                             // a search for the oldest message is under way
	next     time.Time                        // of the next search
}

// Look compares the state of the spool with the last one, and adds the events for what has changed. It never waits.
func (r *Runner) Look(h spoolgore.Health) {
	now := time.Now()
	for _, ev := range r.relayEvents(h.Relays, now) {
		r.add(ev, nil)
	}
	if r.startCount(h.Files, now) {
		go r.count(now)
	}
}

// removedRelay is the reason why a relay that was down is no trouble any more.
const removedRelay = "the relay is no longer in the settings"

// relayEvents returns the events of relays whose state has changed. A relay that was down and is no longer in the
// settings counts as up: the alarm about the relay is to end.
func (r *Runner) relayEvents(relays []spoolgore.RelayHealth, now time.Time) (all []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.states.down == nil {
		r.states.down = make(map[string]spoolgore.RelayHealth)
	}
	named := make(map[string]bool)
	for _, relay := range relays {
		key := relay.Name + "\x00" + relay.Senders
		named[key] = true
		before, down := r.states.down[key]
		ev := Event{Time: now, Relay: relay.Name, Senders: relay.Senders, Since: relay.Since, Reason: relay.Trouble}
		switch {
		case relay.Trouble != "" && !down:
			ev.Event, ev.Next = RelayDown, relay.RestsUntil
			r.states.down[key] = relay
		case relay.Trouble == "" && down:
			ev.Event, ev.Since, ev.Reason = RelayUp, before.Since, before.Trouble
			delete(r.states.down, key)
		default:
			continue
		}
		all = append(all, ev)
	}
	for key, was := range r.states.down {
		if !named[key] {
			ev := Event{Event: RelayUp, Time: now, Relay: was.Name, Senders: was.Senders, Since: was.Since}
			ev.Reason = removedRelay
			all = append(all, ev)
			delete(r.states.down, key)
		}
	}
	return all
}

// ages returns the ages of all hooks for Oldest. The caller holds r.mu.
func (r *Runner) ages() (all []time.Duration) {
	for i := range r.hooks {
		if r.hooks[i].wants(Oldest) {
			all = append(all, r.hooks[i].Age)
		}
	}
	return all
}

// startCount reports whether the oldest message is to be searched for. A spool without files has none.
func (r *Runner) startCount(files int, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.states
	switch {
	case len(r.ages()) == 0 || s.counting || r.closed:
		return false
	case files == 0:
		s.late = nil
		return false
	case now.Before(s.next):
		return false
	}
	s.counting = true
	return true
}

// count searches for the oldest message, and adds the event Oldest for each age that the message has reached.
func (r *Runner) count(now time.Time) {
	counts := qshape.New(now)
	view, err := mailq.Of(r.opts.Dir, r.opts.StatusFile, now)
	if err == nil {
		view.Temporary = r.opts.Temporary
		err = view.Each([]spooldir.Place{spooldir.Spool}, func(e *mailq.Entry) error {
			counts.Add(e)
			return nil
		})
	}
	r.mu.Lock()
	s := &r.states
	s.counting = false
	s.next = time.Now().Add(max(countPause, 20*time.Since(now))) // a twentieth of the time at most
	var reached []time.Duration
	age := now.Sub(counts.Queue.Oldest)
	late := make(map[time.Duration]bool)
	for _, limit := range r.ages() {
		if err == nil && counts.Queue.Messages > 0 && age >= limit {
			late[limit] = true
			if !s.late[limit] {
				reached = append(reached, limit)
			}
		}
	}
	if err == nil {
		s.late = late
	}
	r.mu.Unlock()
	if len(reached) == 0 {
		return
	}
	ev := Event{
		Event: Oldest, Time: now, File: counts.Oldest, Since: counts.Queue.Oldest, Age: age.Seconds(),
		Waiting: counts.Queue.Messages,
	}
	if e, err := view.Find(spooldir.Spool, counts.Oldest); err == nil {
		ev.Reason = e.Reason
	}
	for _, limit := range reached {
		r.add(ev, func(h *Hook) bool { return h.Age == limit })
	}
}

// InTurn returns an OnEvent that calls each function that is not nil.
func InTurn(observers ...func(spoolgore.Event)) func(spoolgore.Event) {
	return func(ev spoolgore.Event) {
		for _, observe := range observers {
			if observe != nil {
				observe(ev)
			}
		}
	}
}
