// Package web serves a running spool over HTTP: a page for people, metrics and JSON for monitoring, and actions (retry,
// hold, delete) for authorized people. It reads messages from the files of the spool, as any other program. Only the
// health of the daemon comes from the process itself.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Options are the settings of a Server.
type Options struct {
	Dir        string                   // of the spool
	StatusFile string                   // path; empty: .spoolgore.js in Dir
	Temporary  []string                 // patterns of temporary names; nil: the usual ones
	Token      string                   // for every request, at least MinToken characters; empty: none, loopback only
	Authorize  func(*http.Request) bool // decides in place of Token about every request; nil: Token decides
	Version    string                   // of the program
	Collector  Collector
	Queue      Queue  // has the messages in place of Dir; nil: Dir has
	Flush      func() // tries everything now
	Log        *slog.Logger
}

// A Collector has the figures of the daemon; usually a *collector.Collector.
type Collector interface {
	Started() time.Time
	Last() collector.Snapshot
	Past() []collector.Minute
}

// MinToken is how many characters a token has at least: too many to be guessed over the network.
const MinToken = 16

// Limits of the server.
const (
	maxConnections = 64
	maxHeader      = 16 << 10 // bytes
	maxBody        = 64 << 10 // bytes
	headerTime     = 5 * time.Second
	requestTime    = 15 * time.Second
	answerTime     = 2 * time.Minute // a million messages take a while to look through
	idleTime       = 2 * time.Minute
	graceTime      = 2 * time.Second
)

// Server is the HTTP server of one spool.
type Server struct {
	opts    Options
	dir     *spooldir.Dir
	table   *table
	held    folder
	failed  folder
	metrics *metrics
	guard   guard
	looking chan struct{}       // bounds the requests that read a message at the same time
	fault   atomic.Pointer[any] // tests: the last panic
}

// New returns a server that does not listen yet.
func New(o Options) (*Server, error) {
	if o.Token != "" && len(o.Token) < MinToken {
		return nil, fmt.Errorf("the token is too short: it has %d characters and needs %d, such as openssl rand "+
			"-hex 16 prints", len(o.Token), MinToken)
	}
	var dir *spooldir.Dir
	load := readSpool(o.Temporary)
	if o.Queue != nil {
		load = readQueue(o.Queue)
	} else {
		var err error
		if dir, err = spooldir.New(o.Dir); err != nil {
			return nil, err
		}
	}
	s := &Server{
		opts: o, dir: dir, table: &table{dir: o.Dir, status: o.StatusFile, load: load},
		held: folder{place: spooldir.Hold}, failed: folder{place: spooldir.Failed},
		guard: newGuard(o.Token, o.Authorize, o.Log), looking: make(chan struct{}, maxLooking),
	}
	s.metrics = newMetrics(s)
	return s, nil
}

// Observe is an OnEvent for the spool that never blocks.
func (s *Server) Observe(ev spoolgore.Event) { s.metrics.observe(ev) }

// Collector returns the metrics, for a registry of the application.
func (s *Server) Collector() prometheus.Collector { return s.metrics.all() }

// Listen listens at addr: HOST:PORT; without a host, or as a port number alone, on loopback; or unix:PATH, a socket
// for the user and the group of the daemon (mode 0660). An address that other hosts can reach needs a token. On a
// spool that several users share, every address but a socket needs a token: each user of the host reaches loopback.
func (s *Server) Listen(addr string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		l, err := listenUnix(path)
		if err != nil {
			return nil, err
		}
		return netutil.LimitListener(l, maxConnections), nil
	}
	tcp, err := Check(s, addr)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenTCP("tcp", tcp)
	if err != nil {
		return nil, err
	}
	return netutil.LimitListener(l, maxConnections), nil
}

// Check returns the TCP address for an address of s.Listen; nil: addr is a Unix socket. The error is that of Listen,
// unless the socket cannot be made.
func Check(s *Server, addr string) (*net.TCPAddr, error) {
	if strings.HasPrefix(addr, "unix:") {
		return nil, nil
	}
	if s.opts.Token == "" && s.shared() {
		return nil, fmt.Errorf("users share the spool, and each user of this host could read and delete all mail: "+
			"a token is needed, -httptokenfile FILE, with %d characters at least; or -http unix:/PATH", MinToken)
	}
	addr, err := complete(addr)
	if err != nil {
		return nil, err
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err == nil && s.opts.Token == "" && !tcp.IP.IsLoopback() {
		err = fmt.Errorf("%s can be reached from other hosts, so a token is needed: -httptokenfile FILE, "+
			"with %d characters at least", addr, MinToken)
	}
	return tcp, err
}

// shared reports whether other users may add messages to the spool.
func (s *Server) shared() bool {
	if s.dir == nil { // many hosts share a fleet
		return true
	}
	fi, err := s.dir.FS().Stat(s.dir.Path())
	return err == nil && fi.Mode().Perm()&0o022 != 0
}

// complete returns HOST:PORT for an address as people write it.
func complete(addr string) (string, error) {
	if n, err := strconv.ParseUint(addr, 10, 16); err == nil {
		return "127.0.0.1:" + strconv.FormatUint(n, 10), nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is not HOST:PORT, :PORT or PORT", addr)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// Serve answers on l until ctx ends, and then gives running requests a moment.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: answerTime,
		IdleTimeout: idleTime, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.opts.Log.Handler(),
			slog.LevelDebug),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	err := server.Serve(l)
	if stop() {
		server.Close()
		return err // the server failed
	}
	<-ended
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// Handler returns the handler of all paths.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /history", s.history)
	mux.HandleFunc("GET /messages", s.messages)
	mux.HandleFunc("GET /message", s.message)
	mux.Handle("GET /metrics", s.metrics.handler())
	mux.HandleFunc("POST /do", s.do)
	open := http.NewServeMux()
	open.HandleFunc("GET /healthz", s.healthz)
	open.HandleFunc("GET /livez", s.livez)
	open.Handle("/", s.guard.check(mux))
	return headers(s.guard.host(s.calm(open)))
}

// calm answers a panic with an error, for bad messages.
func (s *Server) calm(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				s.opts.Log.Error("request failed by a fault of the program", "path", r.URL.Path, "err", fmt.Sprint(v))
				s.fault.Store(&v)
				refuse(w, http.StatusInternalServerError, "this is a fault of the program; the log says more")
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// healthy returns the problems of the daemon. dead means that the daemon does not work at all.
func (s *Server) healthy(now time.Time) (wrong []string, dead bool) {
	r := s.opts.Collector.Last()
	seen := r.At
	if seen.IsZero() {
		seen = s.opts.Collector.Started()
	}
	if silent := now.Sub(seen); silent > aliveTime {
		return []string{fmt.Sprintf("the daemon hangs: nothing has been heard of its loop for %v",
			silent.Round(time.Second))}, true
	}
	if r.Trouble != "" {
		wrong = append(wrong, "the spool cannot be worked on: "+r.Trouble)
	}
	ways := make(map[string][]spoolgore.RelayHealth)
	for _, relay := range r.Relays {
		ways[relay.Senders] = append(ways[relay.Senders], relay)
	}
	for _, relay := range r.Relays {
		if way := ways[relay.Senders]; way != nil {
			delete(ways, relay.Senders)
			if text := closed(way, now); text != "" {
				wrong = append(wrong, text)
			}
		}
	}
	return wrong, false
}

const (
	aliveTime = time.Minute     // silence after which the loop hangs
	downTime  = 5 * time.Minute // rest after which relays are down
)

// closed returns the text for a route without a usable relay for a while; empty: one is usable, or it is too early.
func closed(way []spoolgore.RelayHealth, now time.Time) string {
	var names []string
	for _, r := range way {
		if r.Trouble == "" || now.Sub(r.Since) < downTime {
			return ""
		}
		names = append(names, r.Name+" ("+r.Trouble+")")
	}
	text := "no relay can be used"
	if way[0].Senders != "" {
		text += " for " + way[0].Senders
	}
	return text + ": " + strings.Join(names, ", ")
}
