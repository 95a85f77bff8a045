// Package web shows a spool that is run in this process over HTTP: to people a page, to monitoring programs metrics and
// JSON, and lets people who may do so retry, hold and delete messages. What is of the spool is read from its files, as
// any other program reads them; only how it is run is asked of the process itself.
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

	"golang.org/x/net/netutil"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Options are what a Server needs.
type Options struct {
	Dir        string // of the spool
	StatusFile string // its path; empty: .spoolgore.js in Dir
	Token      string // must come with every request, of MinToken characters at least; empty: none, and only loopback is served
	Version    string // of the program
	Pulse      Pulse
	Flush      func() // tries everything now
	Log        *slog.Logger
}

// Pulse is a *pulse.Pulse, of which what follows is of use here.
type Pulse interface {
	Started() time.Time
	Last() collector.Reading
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
	metrics *metrics
	guard   guard
	looking chan struct{}       // has room for those that may look into messages at the same time
	fault   atomic.Pointer[any] // tests: the last panic
}

// New makes a server. It listens to nobody yet.
func New(o Options) (*Server, error) {
	if o.Token != "" && len(o.Token) < MinToken {
		return nil, fmt.Errorf("the token is too short: it has %d characters and needs %d, such as openssl rand -hex 16 prints", len(o.Token), MinToken)
	}
	dir, err := spooldir.New(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: o, dir: dir, table: &table{dir: o.Dir, status: o.StatusFile, load: read}, guard: newGuard(o.Token, o.Log),
		looking: make(chan struct{}, maxLooking),
	}
	s.metrics = newMetrics(s)
	return s, nil
}

// Observe is for Options.OnEvent of the spool. It never waits.
func (s *Server) Observe(ev spoolgore.Event) { s.metrics.observe(ev) }

// Listen begins to listen at addr: HOST:PORT; without a host, or as the number of a port alone, on loopback. Where others
// than this host can reach it there has to be a token.
func (s *Server) Listen(addr string) (net.Listener, error) {
	addr, err := complete(addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); s.opts.Token == "" && (!ok || !tcp.IP.IsLoopback()) {
		l.Close()
		return nil, fmt.Errorf("%s can be reached from other hosts, so a token is needed: -httptokenfile FILE, with %d characters at least", addr, MinToken)
	}
	return netutil.LimitListener(l, maxConnections), nil
}

// complete makes HOST:PORT of what a person writes.
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

// Serve answers on l until ctx ends, and gives what is being answered a moment then.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: answerTime,
		IdleTimeout: idleTime, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
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
		return err // it has ended by itself
	}
	<-ended
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// Handler is what answers.
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

// calm makes a panic, over a message that nobody has thought of, an answer.
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

// healthy returns what is wrong with how the spool is run; dead says that it is not run at all.
func (s *Server) healthy(now time.Time) (wrong []string, dead bool) {
	r := s.opts.Pulse.Last()
	seen := r.At
	if seen.IsZero() {
		seen = s.opts.Pulse.Started()
	}
	if silent := now.Sub(seen); silent > aliveTime {
		return []string{fmt.Sprintf("the daemon hangs: nothing has been heard of its loop for %v", silent.Round(time.Second))}, true
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
	aliveTime = time.Minute     // a loop that has not been heard of for that long hangs
	downTime  = 5 * time.Minute // relays that have rested for that long are down
)

// closed says that no relay of a way can be used, and has not been for a while; empty: one can, or it is too early to say.
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
