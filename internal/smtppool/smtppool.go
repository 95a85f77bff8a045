// Package smtppool sends messages to one relay over a pool of connections. The package opens, reuses and closes the
// connections, and learns how many connections and what speed the relay accepts. The package does not retry refused
// messages, and does not decide when a failed relay is tried again.
package smtppool

import (
	"context"
	"net"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

// Options are the settings of a Relay. Addr and Concurrency are required.
type Options struct {
	// Addr is one relay:
	//
	//	host:port                 SMTP; TLS from the first byte on port 465 (RFC 8314), unless Client.TLS differs
	//	smtp://host[:port]        the same; default port 25
	//	smtps://host[:port]       SMTP with TLS from the first byte; default port 465
	//	lmtp://host:port          LMTP (RFC 2033), also as lmtp:host:port
	//	lmtp+unix:///path         LMTP over a Unix socket, also as lmtp:/path
	//	mx:example.com            MX hosts of a domain, port 25 (RFC 5321, section 5.1)
	//	srv:example.com           submission hosts of a domain, implicit TLS first (RFC 6186, RFC 8314)
	Addr string

	// Dial opens connections. Nil: Dial of the package, with a limit of 30 seconds for all addresses of a host.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Resolver makes the lookups for mx: and srv:, and the lookup of hosts if the Resolver is a HostResolver. Nil:
	// net.DefaultResolver; if Dial is set, Dial makes the lookup of hosts.
	Resolver Resolver
	Family   string // "4" or "6" for the addresses of one family only; empty: both

	Client      smtpclient.Config // Host is filled in; an empty LocalName is replaced by the host's name or address
	Concurrency int               // limit for connections; below 1: 1
	Auto        bool              // up to 100 connections while the relay takes more mail on more connections
	Idle        time.Duration     // an idle connection is closed after Idle; zero: 5 seconds

	// Grown, if not nil, is called when Slots has grown without the result of an offer. Grown is called from any
	// goroutine, and must not block.
	Grown func()

	// Slowed, if not nil, is called when the relay has asked for less mail, and is used more slowly from then on; see
	// Relay.Use. Slowed is called like Grown.
	Slowed func()
}

const (
	defaultIdle = 5 * time.Second
	dialLimit   = 30 * time.Second
	maxAhead    = 64 // limit for the offers in Slots beyond the flights: each holds an open file and a header
)

// Relay is one relay with a pool of connections. Any number of goroutines may call the methods.
type Relay struct {
	name      string
	connector *connector
	pool      *pool
}

// Dial is the default of Options.Dial.
func Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, network, addr)
}

// New checks the options and returns a Relay. New opens no connection and starts no goroutine.
func New(o Options) (*Relay, error) {
	c, err := newConnector(o)
	if err != nil {
		return nil, err
	}
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	if o.Grown == nil {
		o.Grown = func() {}
	}
	if o.Slowed == nil {
		o.Slowed = func() {}
	}
	return &Relay{name: o.Addr, connector: c, pool: newPool(c, o)}, nil
}

// Name returns Options.Addr, for logs.
func (r *Relay) Name() string { return r.name }

// TLS returns the TLS mode. fixed is false if the DNS decides between the modes, for "srv:".
func (r *Relay) TLS() (mode smtpclient.TLSMode, fixed bool) {
	return r.connector.address.mode(r.connector.client.TLS), r.connector.address.srv == ""
}

// Allow changes Options.Concurrency and Options.Auto. Surplus connections end when idle. The learnt limits stay.
func (r *Relay) Allow(concurrency int, auto bool) {
	r.connector.setConcurrency(concurrency)
	r.pool.allow(concurrency, auto)
}

// Offer offers t to the relay, and calls done once, with an outcome for each recipient in the order of t.To. Offer does
// not block, and no goroutine waits for the outcome. done is called from any goroutine, must not block, and must not
// call the Relay. If no connection can be opened, and there is no other, all waiting offers fail with the reason.
//
// If the relay closed a connection before the message was sent, the message is offered again on another connection. The
// second offer needs a Content that is unread or an io.Seeker; see Content.
//
// When ctx ends, the offer ends soon: a waiting offer is withdrawn, as by Cut. An offer in a transaction fails with its
// connection; other offers on the connection are made again on another one. Cut ends all offers in progress.
func (r *Relay) Offer(ctx context.Context, t *smtpclient.Transaction, done func([]attempt.Outcome)) {
	if len(t.To) == 0 {
		done(nil)
		return
	}
	o := newOffer(r.name, t, done)
	if ctx.Err() != nil { // a session could take the offer before AfterFunc runs
		o.withdraw(context.Cause(ctx))
		return
	}
	if ctx.Done() != nil {
		o.stop = context.AfterFunc(ctx, func() { r.pool.cancel(o, context.Cause(ctx)) })
	}
	r.pool.add(o)
}

// Cut ends all offers in progress at once. Waiting offers are withdrawn: the fault is attempt.None, the error wraps
// cause. Offers in a transaction fail with the connection. Offers made after Cut and before Close are withdrawn, too.
func (r *Relay) Cut(cause error) { r.pool.cut(cause) }

// Retire withdraws the waiting offers and all later offers, like Cut, but lets transactions in progress end. Close is
// still to be called.
func (r *Relay) Retire(cause error) { r.pool.retire(cause) }

// Redial drops the connections that are not ready for a transaction, and opens new ones for the waiting offers. After a
// change of network the old ones would wait for their deadlines. Connections in use stay. Further calls within five
// seconds have no effect.
func (r *Relay) Redial() {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	r.pool.roster.redial(time.Now())
}

// Connections returns the present limit for connections, as learnt from the relay.
func (r *Relay) Connections() int { return r.pool.status().allowed }

// Use is the present use of a relay.
type Use struct {
	Connections int       // open connections with a greeting
	SlowedUntil time.Time // time of the next message to a relay that has asked for less mail; zero: not asked
	Slowed      string    // reply of the relay that asked for less mail; empty: none
	Pace        float64   // messages a minute to a relay that has asked for less mail; zero: no limit
}

// Use returns the present use of the relay.
func (r *Relay) Use() Use {
	s := r.pool.status()
	return Use{s.greeted, s.pausedUntil, s.reason, s.pace}
}

// Slots returns the useful number of offers in progress, at least 1. A connection has 1 transaction in progress without
// PIPELINING, 2 with PIPELINING, a window with CHUNKING. Half as many more offers wait ready, since a flight takes only
// the offers that wait when a reply comes.
func (r *Relay) Slots() int {
	s := r.pool.status()
	slots := s.allowed * s.depth
	if s.depth > 1 {
		slots += min(slots/2, maxAhead)
	}
	return slots
}

// Close waits for the offers in progress, closes all connections, and returns when no goroutine is left. Idle
// connections end with a QUIT that may take two seconds. A Relay can be used again after Close, except after Retire.
func (r *Relay) Close() { r.pool.close() }
