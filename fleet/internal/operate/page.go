package operate

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/web"
)

var _ web.Queue = (*Queue)(nil)

// For implements web.Queue.
func (q *Queue) For(ctx context.Context) web.Queue { return q.During(ctx) }

// During returns q for what ends with ctx.
func (q *Queue) During(ctx context.Context) *Queue {
	c := *q
	c.Ctx = ctx
	return &c
}

// Read implements web.Queue.
func (q *Queue) Read(e *mailq.Entry) (io.ReadCloser, error) { return q.Open(e) }

// totalsTime is the limit for the totals. 1,000,000 messages take less than a second.
const totalsTime = 2 * time.Minute

// Totals implements web.Queue. Groups count messages: by their reason, and by the domain of their first recipient.
func (q *Queue) Totals(groups int, now time.Time) (t web.Totals, err error) {
	ctx, cancel := context.WithTimeout(q.Ctx, totalsTime)
	defer cancel()
	sums, err := q.Store.Sums(ctx)
	if err != nil {
		return t, err
	}
	t.Counts = qshape.New(now)
	for _, x := range sums {
		state := stateOf(x.State, x.First)
		t.States[state] = plus(t.States[state], x)
		if state.Queued() {
			t.Queue = plus(t.Queue, x)
			t.Recipients.Total += x.Waiting
		}
	}
	g, err := q.Store.Groups(ctx, 10*groups, sums)
	t.Reasons, t.Domains = shapes(g.Reasons, groups, qshape.Kind), shapes(g.Domains, groups, strings.ToLower)
	t.Estimated = g.Estimated
	return t, err
}

// stateOf returns the state for people. first: there was no attempt.
func stateOf(s store.State, first bool) mailq.State {
	switch {
	case s == store.Ready:
		return mailq.Waiting
	case s == store.LeasedOut:
		return mailq.Sending
	case s == store.Held:
		return mailq.Held
	case s == store.Failed:
		return mailq.Failed
	case first:
		return mailq.Scheduled
	}
	return mailq.Deferred
}

func plus(a qshape.Sum, x store.Sum) qshape.Sum {
	a.Messages, a.Bytes = a.Messages+x.Count, a.Bytes+x.Bytes
	if a.Oldest.IsZero() || x.Oldest.Before(a.Oldest) {
		a.Oldest = x.Oldest
	}
	return a
}

// shapes returns the n largest groups, with equal names added up.
func shapes(all []store.Group, n int, name func(string) string) (shapes []qshape.Shape) {
	for _, g := range all {
		text := name(g.Name)
		i := slices.IndexFunc(shapes, func(s qshape.Shape) bool { return s.Name == text })
		if i < 0 {
			i = len(shapes)
			shapes = append(shapes, qshape.Shape{Name: text})
		}
		shapes[i].Total += g.Count
	}
	slices.SortStableFunc(shapes, func(a, b qshape.Shape) int { return b.Total - a.Total })
	return shapes[:min(n, len(shapes))]
}

// maxTotal bounds the number of messages that a page counts.
const maxTotal = 10_000

// Page implements web.Queue.
func (q *Queue) Page(p web.PageQuery) (page web.Rows, err error) {
	s := store.Selection{
		Text: p.Text, Reason: p.Reason, Domain: p.Domain, Relay: p.Relay, Newest: p.Newest,
		Limit: p.Limit, Offset: p.Offset,
	}
	for _, state := range p.States {
		switch state {
		case mailq.Waiting:
			s.States = append(s.States, store.Ready)
		case mailq.Sending:
			s.States = append(s.States, store.LeasedOut)
		case mailq.Held:
			s.States = append(s.States, store.Held)
		case mailq.Failed:
			s.States = append(s.States, store.Failed)
		case mailq.Deferred:
			s.Deferred = true
		case mailq.Scheduled:
			s.Scheduled = true
		}
	}
	if len(s.States) == 0 && !s.Deferred && !s.Scheduled {
		return page, nil // a fleet has no such states
	}
	found, err := q.Store.Page(q.Ctx, s, maxTotal)
	page.Total, page.More = found.Total, found.More
	for i := range found.Rows {
		page.Some = append(page.Some, q.Entry(&found.Rows[i]))
	}
	return page, err
}
