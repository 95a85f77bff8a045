// Package spoolhttp shows a spool of the process over HTTP: the page of "spoolgore -http" with actions on messages,
// health for a load balancer, and metrics for Prometheus.
//
//	page, err := spoolhttp.New(spool, spoolhttp.Options{Authorize: isOperator})
//	go page.Run(ctx)
//	mux.Handle("/mail/", http.StripPrefix("/mail", page))
//	prometheus.MustRegister(page.Collector())
//
// Below the prefix are the page itself (/), /healthz (200, or 503 with the reason), /livez (503 if a restart may help),
// /metrics, and JSON in /status, /history, /messages and /message. The package is apart from the root, because of its
// dependencies: Prometheus and the libraries that read messages for the page.
package spoolhttp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/web"
)

// Options are the settings of a Handler. Token or Authorize is required.
type Options struct {
	// Token is needed for every request but those for /healthz and /livez: as the password of basic authentication, or
	// as "Authorization: Bearer TOKEN". At least 16 characters.
	Token string

	// Authorize reports whether a request may see and delete all mail, in place of Token: the application knows its
	// users. Requests that a page of another site sends are refused in any case.
	Authorize func(*http.Request) bool

	Version string       // of the application, for the page and the metrics; empty: that of its main module
	Logger  *slog.Logger // nil: slog.Default()
}

// Handler is an http.Handler for one spool. Its methods may be called by any goroutine.
type Handler struct {
	server    *web.Server
	collector *collector.Collector
	handler   http.Handler
	remove    []func()
}

// minutes are kept for the chart of the page: a day.
const minutes = 24 * 60

// New returns a handler for s, which counts the events of s from now on, until Close.
func New(s *spoolgore.Spool, o Options) (*Handler, error) {
	if o.Token == "" && o.Authorize == nil {
		return nil, errors.New("spoolhttp: Token or Authorize is required: the page shows and deletes mail")
	}
	log, spool := cmp.Or(o.Logger, slog.Default()), s.Health()
	version := cmp.Or(o.Version, mainVersion())
	c := collector.New(collector.Options{Dir: spool.Dir, Health: s.Health, Version: version, Keep: minutes, Log: log})
	server, err := web.New(web.Options{
		Dir: spool.Dir, StatusFile: spool.StatusFile, Temporary: spool.TemporaryNames,
		Token: o.Token, Authorize: o.Authorize, Version: version, Collector: c, Flush: s.Flush, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return &Handler{
		server: server, collector: c, handler: server.Handler(),
		remove: []func(){s.Observe(c.Observe), s.Observe(server.Observe)},
	}, nil
}

// mainVersion returns the version of the program.
func mainVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// ServeHTTP answers a request, whose path begins behind the prefix.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.handler.ServeHTTP(w, r) }

// Run looks at the spool every two seconds while mail moves, and every half minute else, until ctx ends: for the
// chart, for /healthz, which fails without Run, and for the file .spoolgore.state, which tells "spoolgore list" of the
// relays.
func (h *Handler) Run(ctx context.Context) { h.collector.Run(ctx) }

// Collector returns the metrics of /metrics, without those of the Go runtime, for a registry of the application.
func (h *Handler) Collector() prometheus.Collector { return h.server.Collector() }

// Close ends the counting of events.
func (h *Handler) Close() {
	for _, remove := range h.remove {
		remove()
	}
}
