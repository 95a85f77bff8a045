// Package smarthost hands messages to one relay over a few connections, which it makes, reuses and closes as needed. It
// finds out by itself how many connections and what speed the relay bears; it does not retry what the relay refused, and
// it does not decide when a relay in trouble is tried again.
package smarthost

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// Options say how a relay is spoken to. Addr and Concurrency are required.
type Options struct {
	// Addr is one relay:
	//
	//	host:port                 SMTP; TLS from the first byte on port 465 (RFC 8314), unless Client.TLS says otherwise
	//	smtp://host[:port]        the same; port 25 if there is none
	//	smtps://host[:port]       SMTP with TLS from the first byte; port 465 if there is none
	//	lmtp://host:port          LMTP (RFC 2033), also as lmtp:host:port
	//	lmtp+unix:///path         LMTP over a Unix socket, also as lmtp:/path
	//	mx:example.com            the MX hosts of a domain, port 25 (RFC 5321, section 5.1)
	//	srv:example.com           its hosts for submission, those with TLS from the first byte first (RFC 6186, RFC 8314)
	Addr string

	// Dial makes the connections; nil: a net.Dialer with a limit of 30 seconds, which tries all addresses of a host.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Resolver    Resolver          // for mx: and srv:; nil: net.DefaultResolver
	Client      smtpclient.Config // Host is filled in; with an empty LocalName the host's name or address is given
	Concurrency int               // connections at the same time, at most; below 1: 1
	Idle        time.Duration     // a connection without work is closed after this time; zero: 5 seconds

	// Grown, if not nil, is called when there is more room than Slots said before without an offer having been
	// settled. It is called from any goroutine, and must not block.
	Grown func()
}

// The defaults of Options.
const (
	defaultIdle = 5 * time.Second
	dialLimit   = 30 * time.Second

	// With more connections than these, each holds less of a large message in memory.
	manyConnections = 50
	smallPiece      = 4 << 10
)

// Relay is one relay and the connections to it. Its methods may be called by any number of goroutines.
type Relay struct {
	opts    Options
	address address

	mu         sync.Mutex            // for what follows; never held while the network is used
	ended      *sync.Cond            // a session has ended
	waiting    list.List             // of *offer: not taken by a session yet; given back ones are in front
	running    int                   // goroutines of sessions
	sessions   map[*session]struct{} // that are connected, or may be yet
	connecting int                   // of sessions: not connected yet
	welcomed   int                   // of sessions: greeted by the relay
	leaving    int                   // of sessions: saying goodbye
	resting    []*session            // connected, without work; the one that rests longest is first
	limits     limits
	depth      int // messages that a connection can have in hand, as seen on the last one that was made
	closing    bool
	ending     error // the cause of Cut or Retire; nil: there was none
	retired    bool
	piece      int // of large messages held by a connection, as Client.Piece; by the number of connections where that is zero
}

// Dial is how connections are made where nothing else is said.
func Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, network, addr)
}

// New checks the options. It starts nothing.
func New(o Options) (*Relay, error) {
	a, err := parseAddress(o.Addr)
	if err != nil {
		return nil, err
	}
	if o.Dial == nil {
		o.Dial = Dial
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	o.Client.LMTP = a.lmtp
	r := &Relay{opts: o, address: a, sessions: make(map[*session]struct{}), limits: newLimits(o.Concurrency), depth: 1}
	r.piece = r.pieceFor(o.Concurrency)
	r.ended = sync.NewCond(&r.mu)
	return r, nil
}

func (r *Relay) pieceFor(concurrency int) int {
	if r.opts.Client.Piece == 0 && concurrency > manyConnections {
		return smallPiece
	}
	return r.opts.Client.Piece
}

// Allow changes how many connections there may be at the same time; below 1: 1. Those that are too many end when they have
// no work. What the relay has shown to bear stays known.
func (r *Relay) Allow(concurrency int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits.resize(concurrency)
	r.piece = r.pieceFor(concurrency)
	r.dispatch()
}

// Name is the address as it was configured, for logs.
func (r *Relay) Name() string { return r.opts.Addr }

// TLS is how the relay is spoken to. It is not fixed where the DNS has a say in that: with "srv:".
func (r *Relay) TLS() (mode smtpclient.TLSMode, fixed bool) {
	return r.address.mode(r.opts.Client.TLS), r.address.srv == ""
}

// Offer offers t, and calls done once, with a result for each recipient, when its outcome is known. When no connection
// can be made, and there is none, all who wait get the reason. Offer does not wait, and no goroutine does for it, so that
// what is under way costs little. done is called from any goroutine, must not block, and must not call the Relay.
//
// A connection that turns out to have been closed by the relay before this message is not the message's trouble: it is
// offered on another one. That needs a Content that was not read yet or is an io.Seeker; see Content.
//
// The offers that are in progress end with Cut.
func (r *Relay) Offer(t *smtpclient.Transaction, done func([]smtpclient.Result)) {
	if len(t.To) == 0 {
		done(nil)
		return
	}
	r.add(newOffer(t, done))
}

// Cut ends all that is in progress, at once: offers that were not made are withdrawn, and their Error has NotTried and the
// cause; those that were made are cut off with their connections. So are the offers that come after, until Close.
func (r *Relay) Cut(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = cause
	r.withdrawAll()
	for s := range r.sessions {
		s.cut(cause)
	}
}

// Retire withdraws the offers that no connection has taken, and lets those end that one has: their transactions may be
// under way. So it does with the offers that come after, for good. The Error of what is withdrawn has NotTried and the cause.
// Close is still to be called.
func (r *Relay) Retire(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending, r.retired = cause, true
	r.withdrawAll()
	for s := range r.sessions {
		if s.conn == nil {
			s.cut(cause)
		}
	}
}

// Connections is how many connections there may be at the same time, as far as is known now.
func (r *Relay) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limits.allowed(time.Now())
}

// Open is how many connections the relay has greeted and are still there, and until when it is left alone as it has said
// that it gets too much; zero: it is not.
func (r *Relay) Open() (connections int, slowed time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limits.paused(time.Now()) {
		slowed = r.limits.until
	}
	return r.welcomed, slowed
}

// Slots is how many offers can be made use of at the same time, as far as is known now: with PIPELINING a
// connection has use for the next message before it is done with the one before, with CHUNKING for a window of them, and
// half as many more are to be at hand when an answer comes: a flight takes only what waits then. It is never less than 1.
func (r *Relay) Slots() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	slots := r.limits.allowed(time.Now()) * r.depth
	if r.depth > 1 {
		slots += min(slots/2, atHand)
	}
	return slots
}

// atHand bounds how many messages are kept ready for the next flights: each holds an open file and its header.
const atHand = 64

// errClosed is why a connection is not made.
var errClosed = errors.New("not needed any more")

// Close ends all connections, those without work with a QUIT that is given two seconds, and waits until no goroutine is
// left. Calls of Deliver that are in progress are let end first. The relay can be used again afterwards, unless it is retired.
func (r *Relay) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing = true
	for _, s := range r.resting {
		r.leave(s)
		s.hand <- nil
	}
	r.resting = nil
	for s := range r.sessions {
		if s.conn == nil && r.waiting.Len() == 0 {
			s.cut(errClosed)
		}
	}
	for r.running > 0 || r.waiting.Len() > 0 {
		r.ended.Wait()
	}
	r.closing = false
	if !r.retired {
		r.ending = nil
	}
}
