package web

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A Queue has the messages that the page shows in place of the directory of a spool: those of a fleet. Held messages
// are in spooldir.Hold, failed ones in spooldir.Failed. A message that is gone is fs.ErrNotExist.
type Queue interface {
	// For returns the queue for one request: what is read ends with ctx.
	For(ctx context.Context) Queue
	// Path names the queue for people.
	Path() string
	// Totals returns the counts of messages, and the largest groups.
	Totals(groups int, now time.Time) (t Totals, err error)
	// Page returns a page of the messages that p chooses.
	Page(p PageQuery) (page Rows, err error)
	// Find returns a message.
	Find(place spooldir.Place, name string) (*mailq.Entry, error)
	// Read opens the content of a message.
	Read(e *mailq.Entry) (io.ReadCloser, error)

	Hold(name string) error
	Release(name string) error
	Retry(name string) error
	Delete(name string) error
}

// Totals are the counts of a Queue.
type Totals struct {
	*qshape.Counts
	Reasons, Domains []qshape.Shape
	Estimated        bool // the counts of Domains are estimates
}

// PageQuery chooses a page of messages.
type PageQuery struct {
	States                []mailq.State
	Text                  string // in sender, recipients, host, reason or name; empty: any
	Reason, Domain, Relay string // groups; empty: any
	Newest                bool   // newest first
	Offset, Limit         int
}

// Rows are a page of messages.
type Rows struct {
	Some  []*mailq.Entry
	Total int  // number of chosen messages, as far as counted
	More  bool // there may be more than Total
}

// readQueue returns a function that reads the counts of q.
func readQueue(q Queue) func(dir, status string, now time.Time, rows bool) (*reading, error) {
	return func(_, _ string, now time.Time, _ bool) (*reading, error) {
		t, err := q.Totals(mostShown, now)
		if err != nil {
			return nil, err
		}
		return &reading{
			at: now, Counts: t.Counts, reasons: groups(t.Reasons, -1), domains: groups(t.Domains, t.Recipients.Total),
			estimated: t.Estimated,
		}, nil
	}
}

// listing is the answer of /messages.
type listing struct {
	Total  int       `json:"total"`
	Least  bool      `json:"least,omitempty"` // there may be more: Total was not counted to the end
	Offset int       `json:"offset"`
	More   int       `json:"more"` // messages beyond the limit of rows, in any state
	At     time.Time `json:"at"`
	Rows   []shown   `json:"rows"`
}

// queued answers with a page of the queue.
func queued(s *Server, w http.ResponseWriter, r *http.Request, q PageQuery) {
	now := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), answerTime-requestTime)
	defer cancel()
	page, err := s.opts.Queue.For(ctx).Page(q)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the queue cannot be read: "+err.Error())
		return
	}
	list := listing{Total: page.Total, Least: page.More, Offset: q.Offset, At: now, Rows: []shown{}}
	for _, e := range page.Some {
		at := rowOf(e)
		list.Rows = append(list.Rows, s.show(ctx, &at, r.FormValue("brief") != ""))
	}
	answer(w, list)
}

// find returns the message name in place.
func find(ctx context.Context, s *Server, place spooldir.Place, name string) (*mailq.Entry, error) {
	if q := s.opts.Queue; q != nil {
		return q.For(ctx).Find(place, name)
	}
	view, err := mailq.Of(s.opts.Dir, s.opts.StatusFile, time.Now())
	if err != nil {
		return nil, err
	}
	view.Temporary = s.opts.Temporary
	e, err := view.Find(place, name)
	if err == nil {
		view.ReadHeader(e)
	}
	return e, err
}

// open opens the content of a message. A content in a queue is read until ctx ends.
func open(ctx context.Context, s *Server, place spooldir.Place, name string, size int64) (io.ReadCloser, error) {
	if q := s.opts.Queue; q != nil {
		return q.For(ctx).Read(&mailq.Entry{Place: place, Name: name, Size: size})
	}
	return spooldir.OpenReadOn(s.dir.FS(), s.dir.At(place, name))
}

// steer carries out an act on a message of the queue.
func steer(q Queue, act string, place spooldir.Place, name string) error {
	switch {
	case place != spooldir.Spool && place != spooldir.Hold && place != spooldir.Failed:
		return fs.ErrNotExist
	case act == "hold":
		return q.Hold(name)
	case act == "delete":
		return q.Delete(name)
	case place == spooldir.Hold:
		return q.Release(name)
	case act == "retry":
		return q.Retry(name)
	}
	return errors.ErrUnsupported
}

var descRecipients = desc("recipients_total",
	"Recipients by outcome (sent, deferred with an attempt counted, failed), of all workers of a fleet together.",
	"outcome")

// descLatency describes the latency of all workers.
var descLatency = prometheus.NewDesc(latencyName, latencyHelp, nil, nil)

// fleetMetrics are the metrics of the workers of a fleet together.
type fleetMetrics struct{ *metrics }

// Describe is for the registry.
func (m fleetMetrics) Describe(all chan<- *prometheus.Desc) {
	all <- descRecipients
	all <- descLatency
}

// Collect is for the registry.
func (m fleetMetrics) Collect(all chan<- prometheus.Metric) {
	last := m.server.opts.Collector.Last()
	c := last.Counts
	for outcome, n := range map[string]uint64{"sent": c.Sent, "deferred": c.Deferred, "failed": c.Failed} {
		all <- prometheus.MustNewConstMetric(descRecipients, prometheus.CounterValue, float64(n), outcome)
	}
	n, ranges := uint64(0), make(map[float64]uint64)
	for i, limit := range daemonstate.LatencyLimits() {
		if i < len(last.Latency.Counts) {
			n += last.Latency.Counts[i]
		}
		ranges[limit] = n
	}
	if i := len(ranges); i < len(last.Latency.Counts) {
		n += last.Latency.Counts[i]
	}
	all <- prometheus.MustNewConstHistogram(descLatency, n, last.Latency.Sum, ranges)
}
