package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/guard"
)

// Direct is a Delivery without a queue: Offer waits for the outcomes. Its methods may be called by several goroutines.
type Direct struct {
	routeOf  func(sender string) int
	routeTo  func(to string) (route int, ok bool) // nil: no recipient has a route
	asError  func(attempt.Outcome) error
	log      *slog.Logger
	mu       sync.Mutex
	delivery *Delivery
}

// NewDirect returns a Direct with the settings c. An error says what is wrong with them.
func NewDirect(c Config) (*Direct, error) {
	d, err := New(c)
	if err != nil {
		return nil, err
	}
	return &Direct{routeOf: c.RouteOf(), routeTo: c.RouteTo(), asError: c.AsError, log: c.Log, delivery: d}, nil
}

// Offer offers t to the relays of its sender, or of recipients that have relays, and returns the outcome for each
// recipient. If no relay can be used now, the outcomes are the fault of the relay. The Content may panic.
func (d *Direct) Offer(ctx context.Context, t *Transaction) []attempt.Outcome {
	guarded := *t
	guarded.Content = guard.Content(d.log, t.Content)
	t = &guarded
	sender := t.From
	if sender == "" && len(t.To) > 0 {
		sender = t.To[0]
	}
	if d.routeTo == nil {
		return d.offer(ctx, t, d.routeOf(sender))
	}
	var order []int
	parts := make(map[int][]int) // indexes of recipients by route
	for i, to := range t.To {
		route, ok := d.routeTo(to)
		if !ok {
			route = d.routeOf(sender)
		}
		if parts[route] == nil {
			order = append(order, route)
		}
		parts[route] = append(parts[route], i)
	}
	outcomes := make([]attempt.Outcome, len(t.To))
	for _, route := range order {
		part := *t
		part.To, part.Notify, part.ORcpt = nil, nil, nil
		for _, i := range parts[route] {
			part.To = append(part.To, t.To[i])
			part.Notify, part.ORcpt = appendAt(part.Notify, t.Notify, i), appendAt(part.ORcpt, t.ORcpt, i)
		}
		for n, o := range d.offer(ctx, &part, route) {
			outcomes[parts[route][n]] = o
		}
	}
	return outcomes
}

// appendAt appends from[i] to list, unless from is empty. If from is too short, appendAt appends an empty text.
func appendAt(list, from []string, i int) []string {
	switch {
	case len(from) == 0:
		return list
	case i >= len(from):
		return append(list, "")
	}
	return append(list, from[i])
}

// offer offers t to the relays of a route.
func (d *Direct) offer(ctx context.Context, t *Transaction, route int) []attempt.Outcome {
	d.mu.Lock()
	lease := d.delivery.Take(route, time.Now())
	if lease == nil {
		err := d.delivery.Trouble(route)
		d.mu.Unlock()
		return d.refused(len(t.To), err)
	}
	lease.Begin(t.Size >= largeSize)
	d.mu.Unlock()
	done := make(chan Result, 1)
	lease.Offer(ctx, t, func(r Result) { done <- r })
	r := <-done
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delivery.Settle(&r, time.Time{}, time.Now())
	return r.Outcomes
}

// refused returns n outcomes of a relay that cannot be used.
func (d *Direct) refused(n int, err error) []attempt.Outcome {
	o := attempt.Outcome{Fault: attempt.Relay, Op: "dial", Err: err}
	o.Err = d.asError(o)
	outcomes := make([]attempt.Outcome, n)
	for i := range outcomes {
		outcomes[i] = o
	}
	return outcomes
}

// Close closes all connections. Call it when no Offer is under way.
func (d *Direct) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delivery.Close()
	return nil
}

// largeSize is the size in octets from which a message counts as large: it occupies a connection for long.
const largeSize = 1 << 20
