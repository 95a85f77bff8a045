package fleet

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/operate"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/web"
)

// PageOptions are the settings of a Page. Token or Authorize is required, but for requests by a Unix socket.
type PageOptions struct {
	Token     string                   // for every request, at least 16 characters
	Authorize func(*http.Request) bool // reports whether a request may see and delete all mail, in place of Token
	Version   string                   // of the program
	Logger    *slog.Logger             // nil: slog.Default()
}

// Page is the page of spoolgore for the whole fleet: messages with actions, metrics for Prometheus, health and JSON.
// It may run in any process that reaches the database. Each figure is that of all workers together.
type Page struct {
	server  *web.Server
	handler http.Handler
	open    bool // to every user of a Unix socket, and to no other one
	queue   *operate.Queue
	log     *slog.Logger
	began   time.Time

	mu      sync.Mutex
	last    collector.Snapshot
	past    []collector.Minute
	counted collector.Counts // at the end of the last minute

	// owned by look
	sums    []store.Sum
	nextSum time.Time
}

// NewPage returns the page of q. Serve or, with a server of the application, Run has to run for its figures.
func NewPage(q *Queue, o PageOptions) (*Page, error) {
	p := &Page{
		log: cmp.Or(o.Logger, q.opts.Logger), began: time.Now(), open: o.Token == "" && o.Authorize == nil,
	}
	p.queue = &operate.Queue{Acts: actsOf(q.wake.ctx, q)} // a long flush ends with Close
	var err error
	p.server, err = web.New(web.Options{
		Token: o.Token, Authorize: o.Authorize, Version: o.Version, Collector: p, Queue: p.queue, Log: p.log,
		Flush: func() {
			if _, err := p.queue.Flush(); err != nil {
				p.log.Error("flush failed", "err", err)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	p.handler = p.server.Handler()
	return p, nil
}

// ServeHTTP answers a request, whose path begins behind the prefix.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if p.open && (addr == nil || addr.Network() != "unix") {
		http.Error(w, "the page needs PageOptions.Token or Authorize", http.StatusForbidden)
		return
	}
	p.handler.ServeHTTP(w, r)
}

// Metrics returns the metrics of the fleet, for a registry of the application.
func (p *Page) Metrics() prometheus.Collector { return p.server.Collector() }

// watchPause is the time between two looks at the fleet.
const watchPause = 5 * time.Second

// Run looks at the fleet every five seconds until ctx ends.
func (p *Page) Run(ctx context.Context) {
	for {
		p.look(ctx)
		select {
		case <-time.After(watchPause):
		case <-ctx.Done():
			return
		}
	}
}

// Serve runs the page at addr, and Run, until ctx ends: HOST:PORT, PORT on loopback, or unix:PATH. All but a socket
// need a token.
func (p *Page) Serve(ctx context.Context, addr string) error {
	l, err := p.server.Listen(addr)
	if err != nil {
		return err
	}
	p.log.Info("page served", "addr", l.Addr().String())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	err = p.server.Serve(ctx, l)
	running.Wait()
	return err
}

// lookTime is the limit for one look. A minute without a look would be a page that hangs.
const lookTime = 45 * time.Second

// look reads the state of the fleet. While the database cannot be reached, the page shows the last state, and the error
// as trouble.
func (p *Page) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	state, err := p.queue.During(ctx).Watch()
	if sumsErr := p.count(ctx); err == nil {
		err = sumsErr
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last.At = now
	if err != nil {
		p.last.Trouble = "the database cannot be read: " + err.Error()
		return
	}
	s := collector.Snapshot{
		At: now, Counts: collector.Counts{Sent: state.Sent, Deferred: state.Deferred, Failed: state.Failed},
		PerMinute: state.PerMinute, Speed: state.Speed, Latency: state.Latency,
		Health: spoolgore.Health{Running: true, Paused: state.Paused, Relays: relayHealth(state.Relays)},
	}
	if state.Workers == 0 {
		s.Trouble = "no worker runs"
	}
	for _, x := range p.sums {
		s.Files += x.Count
		if x.State == 2 {
			s.InFlight += x.Count
		}
	}
	p.last = s
	p.minute(now)
}

// count reads the numbers of messages, which takes long if there are very many: for at most a twentieth of the time.
func (p *Page) count(ctx context.Context) error {
	began := time.Now()
	if began.Before(p.nextSum) {
		return nil
	}
	sums, err := p.queue.Store.Sums(ctx)
	if err == nil {
		p.sums, p.nextSum = sums, time.Now().Add(20*time.Since(began)-watchPause)
	}
	return err
}

// minute remembers the figures of a minute that is over.
func (p *Page) minute(now time.Time) {
	if n := len(p.past); n > 0 && now.Sub(p.past[n-1].At) < time.Minute {
		return
	}
	c := p.last.Counts
	p.past = append(p.past, collector.Minute{At: now, Files: p.last.Files, Counts: collector.Counts{
		Sent: less(c.Sent, p.counted.Sent), Deferred: less(c.Deferred, p.counted.Deferred),
		Failed: less(c.Failed, p.counted.Failed),
	}})
	if len(p.past) == 1 {
		p.past[0].Counts = collector.Counts{}
	}
	p.counted = c
	if len(p.past) > 24*60 {
		p.past = p.past[1:]
	}
}

// less returns a - b, and zero if a worker with its counts is gone.
func less(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

func relayHealth(all []daemonstate.Relay) (health []spoolgore.RelayHealth) {
	for _, r := range all {
		health = append(health, spoolgore.RelayHealth{
			Name: r.Name, Connections: r.Connections, Limit: r.Limit, Trouble: r.Trouble, Since: r.Since,
			RestsUntil: r.RestsUntil, Learnt: r.Learnt,
		})
	}
	return health
}

// Started implements web.Collector.
func (p *Page) Started() time.Time { return p.began }

// Last implements web.Collector.
func (p *Page) Last() collector.Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Past implements web.Collector.
func (p *Page) Past() []collector.Minute {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]collector.Minute(nil), p.past...)
}
