package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/mailq"
)

// metrics are the metrics for Prometheus. Events are counted as they come; the rest is collected when Prometheus asks.
type metrics struct {
	server     *Server
	registry   *prometheus.Registry
	recipients *prometheus.CounterVec
	troubles   *prometheus.CounterVec
	latency    prometheus.Histogram

	mu     sync.Mutex
	relays map[string]bool // relays with metrics
}

const (
	latencyName = "spoolgore_delivery_latency_seconds"
	latencyHelp = "From when a message was first seen, or might first be sent, until a recipient was accepted."
)

// mostRelays bounds the label: there may be many relays over time.
const mostRelays = 64

func newMetrics(s *Server) *metrics {
	m := &metrics{
		server: s, registry: prometheus.NewRegistry(), relays: make(map[string]bool),
		recipients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spoolgore_recipients_total",
			Help: "Recipients by outcome (sent, deferred with an attempt counted, failed), relay, and class and " +
				"subject of the status code (RFC 3463).",
		}, []string{"outcome", "relay", "code"}),
		troubles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spoolgore_relay_troubles_total",
			Help: "How often a relay could not be used, by the step that failed. No attempt is counted for the " +
				"message.",
		}, []string{"relay", "step"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    latencyName,
			Help:    latencyHelp,
			Buckets: daemonstate.LatencyLimits(),
		}),
	}
	m.registry.MustRegister(m.all(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// all returns all metrics of the spool as one collector.
func (m *metrics) all() prometheus.Collector {
	if m.server.opts.Queue != nil {
		return together{m, fleetMetrics{m}}
	}
	return together{m, m.recipients, m.troubles, m.latency}
}

// together are several collectors as one.
type together []prometheus.Collector

// Describe is for the registry.
func (t together) Describe(all chan<- *prometheus.Desc) {
	for _, c := range t {
		c.Describe(all)
	}
}

// Collect is for the registry.
func (t together) Collect(all chan<- prometheus.Metric) {
	for _, c := range t {
		c.Collect(all)
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, ErrorLog: slog.NewLogLogger(m.server.opts.Log.Handler(), slog.LevelError),
	})
}

// observe counts an event without blocking.
func (m *metrics) observe(ev spoolgore.Event) {
	switch {
	case ev.Kind == spoolgore.EventSent:
		m.count("sent", &ev)
		m.latency.Observe(max(0, ev.Time.Sub(ev.Since)).Seconds())
	case ev.Kind == spoolgore.EventFailed:
		m.count("failed", &ev)
	case ev.Kind != spoolgore.EventDeferred, ev.Fault == spoolgore.FaultNone:
	case ev.Fault == spoolgore.FaultRelay:
		m.troubles.WithLabelValues(m.relay(ev.Relay), step(&ev)).Inc()
	default:
		m.count("deferred", &ev)
	}
}

func (m *metrics) count(outcome string, ev *spoolgore.Event) {
	m.recipients.WithLabelValues(outcome, m.relay(ev.Relay), code(ev.Reply)).Inc()
}

// relay is the value of the label for a relay.
func (m *metrics) relay(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.relays[name] {
		if len(m.relays) >= mostRelays {
			return others
		}
		m.relays[name] = true
	}
	return strings.ToValidUTF8(name, "?")
}

// steps are the values of DeliveryError.Op at which a relay can fail.
var steps = map[string]bool{"dial": true, "greeting": true, "ehlo": true, "tls": true, "auth": true, "mail": true,
	"rcpt": true, "data": true, "content": true, "end": true}

func step(ev *spoolgore.Event) string {
	var d *spoolgore.DeliveryError
	if errors.As(ev.Err, &d) && steps[d.Op] {
		return d.Op
	}
	return "other"
}

// code returns class and subject of the enhanced status code in a reply, as "4.7" (RFC 3463), without one the class of
// the reply, as "4", and without a reply "none". The number of values is small.
func code(reply string) string {
	if len(reply) < 3 || reply[0] < '2' || reply[0] > '5' {
		return "none"
	}
	class, rest, _ := strings.Cut(strings.TrimLeft(reply[3:], " -"), ".")
	subject, _, detail := strings.Cut(rest, ".")
	if class == reply[:1] && detail && len(subject) == 1 && subject[0] >= '0' && subject[0] <= '7' {
		return class + "." + subject
	}
	return reply[:1]
}

// Metrics that are collected on request.
var (
	descQueued = desc("queued_messages",
		"Messages in the spool by state: new, waiting, sending and deferred are to be sent, unusable need "+
			"somebody, temporary are being written, by the name, scheduled are not to be sent yet, held were put "+
			"aside.", "state")
	descFailed = desc("failed_messages", "Messages in failed/, which were given up and wait for somebody.")
	descOldest = desc("oldest_message_age_seconds",
		"Age of the oldest message that is to be sent or is unusable; zero if there is none.")
	descQueuedBytes = desc("queued_bytes", "Size of the messages that are to be sent or are unusable.")
	descRead        = desc("queue_read_age_seconds",
		"Age of the numbers on messages: the longer a spool takes to read the less often it is read.")
	descInFlight = desc("in_flight_messages", "Messages that are being offered to a relay.")
	descUp       = desc("relay_up",
		"1 if the relay can be used as far as is known, 0 while it rests after trouble.", "relay")
	descConnections = desc("connections", "Connections open to the relay.", "relay")
	descLimit       = desc("connections_limit", "Connections that the relay bears, as learnt so far.", "relay")
	descRateWaits   = desc("rate_limit_waits_total", "How often -rate has held back what could be sent.")
	descPaused      = desc("paused", "1 while the spool is paused by hand.")
	descHealthy     = desc("healthy", "1 if /healthz says ok, else 0.")
	descInfo        = desc("build_info", "1, with the version.", "version", "goversion")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("spoolgore_"+name, help, labels, nil)
}

// Describe is for the registry.
func (m *metrics) Describe(all chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descQueued, descFailed, descOldest, descQueuedBytes, descRead, descInFlight, descUp, descConnections,
		descLimit, descRateWaits,
		descPaused, descHealthy, descInfo,
	} {
		all <- d
	}
}

// Collect is for the registry.
func (m *metrics) Collect(all chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	now := time.Now()
	wrong, _ := m.server.healthy(now)
	gauge(descHealthy, truth(len(wrong) == 0))
	gauge(descInfo, 1, strings.ToValidUTF8(m.server.opts.Version, "?"), runtime.Version())
	r := m.server.opts.Collector.Last()
	gauge(descPaused, truth(r.Paused))
	gauge(descInFlight, float64(r.InFlight))
	all <- prometheus.MustNewConstMetric(descRateWaits, prometheus.CounterValue, float64(r.RateWaits))
	m.collectRelays(r.Relays, gauge)
	m.collectQueue(&r, now, gauge)
}

// scrapeTime bounds the wait for the first counts. Prometheus waits for 10 seconds.
const scrapeTime = 5 * time.Second

// collectQueue collects the counts of messages. If the spool cannot be read, there are only those that the queue keeps.
func (m *metrics) collectQueue(r *collector.Snapshot, now time.Time, gauge func(*prometheus.Desc, float64, ...string)) {
	counts := m.server.counts(r)
	t, err := m.server.table.get(context.Background(), false, scrapeTime)
	if err == nil && counts == nil {
		counts = messagesOf(t.Counts)
	}
	for _, state := range mailq.States {
		switch {
		case counts == nil:
		case state == mailq.Failed:
			gauge(descFailed, float64(counts[state]))
		default:
			gauge(descQueued, float64(counts[state]), string(state))
		}
	}
	if err != nil {
		return
	}
	gauge(descQueuedBytes, float64(t.Queue.Bytes))
	gauge(descRead, now.Sub(t.at).Seconds())
	age := 0.0
	if !t.Queue.Oldest.IsZero() {
		age = max(0, now.Sub(t.Queue.Oldest).Seconds())
	}
	gauge(descOldest, age)
}

// collectRelays collects the metrics of the relays. Several routes may share a relay.
func (m *metrics) collectRelays(relays []spoolgore.RelayHealth, gauge func(*prometheus.Desc, float64, ...string)) {
	type sum struct{ connections, limit, up float64 }
	sums, names := make(map[string]*sum), []string{}
	for _, r := range relays {
		name := m.relay(r.Name)
		of := sums[name]
		if of == nil {
			of = &sum{up: 1}
			sums[name], names = of, append(names, name)
		}
		of.connections += float64(r.Connections)
		of.limit += float64(r.Limit)
		if r.Trouble != "" {
			of.up = 0
		}
	}
	for _, name := range names {
		gauge(descUp, sums[name].up, name)
		gauge(descConnections, sums[name].connections, name)
		gauge(descLimit, sums[name].limit, name)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
