package operate

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/daemonstate"
)

// said is what a worker says of itself with each beat.
type said struct {
	Relays []struct {
		Name        string
		Connections int
		Limit       int
		Trouble     string
		Until       time.Time
	}
	Busy                   int
	Sent, Deferred, Failed uint64
	Rate                   string
	Latency                daemonstate.Latency
}

// saidBy returns what a worker says of itself. Text of another version says nothing.
func saidBy(w *store.Worker) (s said) {
	_ = json.Unmarshal(w.Status, &s)
	return s
}

// State implements cli.Queue: all workers together. After an error no worker is known.
func (q *Queue) State() (daemonstate.State, bool) {
	s, err := q.Watch()
	return s, err == nil && s.Workers > 0
}

// Watch returns the state of all workers together. A relay is in trouble if no worker can use the relay.
func (q *Queue) Watch() (s daemonstate.State, err error) {
	workers, err := q.Store.Workers(q.Ctx)
	if err != nil {
		return s, err
	}
	server, err := q.Store.Server(q.Ctx)
	if err != nil {
		return s, err
	}
	s.Paused, s.Written, s.Version = server.Paused, time.Now(), "PostgreSQL "+server.Version
	relays := relaysOf{index: make(map[string]int)}
	for i := range workers {
		w := &workers[i]
		of := saidBy(w)
		s.Sent, s.Deferred, s.Failed = s.Sent+of.Sent, s.Deferred+of.Deferred, s.Failed+of.Failed
		s.Latency.Add(of.Latency)
		if !w.Alive {
			continue
		}
		if s.Workers++; s.Started.IsZero() || w.Began.Before(s.Started) {
			s.Started = w.Began
		}
		s.Rate = of.Rate
		relays.add(w.Name, of)
	}
	accounts, err := q.Store.Relays(q.Ctx)
	if err != nil {
		return s, err
	}
	s.Relays = relays.all()
	for _, a := range accounts {
		if !a.Proven && a.Cause != "" {
			s.Relays = append(s.Relays, daemonstate.Relay{
				Name: a.Name, Trouble: a.Cause, Since: a.Since, RestsUntil: a.Until,
			})
		}
	}
	for _, r := range s.Relays {
		s.Connections += r.Connections
	}
	s.PerMinute, err = q.Store.Pace(q.Ctx)
	s.Speed = s.PerMinute
	return s, err
}

// relaysOf are the relays of all workers.
type relaysOf struct {
	index  map[string]int
	relays []daemonstate.Relay
	usable []bool // by a worker
}

// add adds the relays of a worker.
func (r *relaysOf) add(worker string, of said) {
	for _, x := range of.Relays {
		i, ok := r.index[x.Name]
		if !ok {
			i = len(r.relays)
			r.index[x.Name] = i
			r.relays, r.usable = append(r.relays, daemonstate.Relay{Name: x.Name}), append(r.usable, false)
		}
		one := &r.relays[i]
		one.Connections, one.Limit = one.Connections+x.Connections, one.Limit+x.Limit
		if x.Trouble == "" {
			r.usable[i] = true
			continue
		}
		one.Trouble = x.Trouble
		if one.RestsUntil.IsZero() || x.Until.Before(one.RestsUntil) {
			one.RestsUntil = x.Until
		}
		one.Learnt = append(one.Learnt, fmt.Sprintf("rests on worker %s: %s", worker, x.Trouble))
	}
}

// all returns the relays.
func (r *relaysOf) all() []daemonstate.Relay {
	for i := range r.relays {
		if r.usable[i] {
			r.relays[i].Trouble, r.relays[i].RestsUntil = "", time.Time{}
		}
	}
	return r.relays
}
