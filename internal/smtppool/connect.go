package smtppool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

const (
	manyConnections = 50      // above, a connection holds only smallPiece of a large message in memory
	smallPiece      = 4 << 10 // in octets
)

// A connector opens connections to a relay.
type connector struct {
	address  address
	dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)
	resolver Resolver
	hosts    HostResolver // nil: dialFunc makes the lookup of hosts
	family   string       // network of the lookup of hosts: "ip", "ip4" or "ip6"
	client   smtpclient.Config
	sessions tls.ClientSessionCache // nil: no resumption
	piece    atomic.Int64           // Config.Piece of new connections

	mu    sync.Mutex
	known map[string]*endpoint // guarded by mu
}

func newConnector(o Options) (*connector, error) {
	a, err := parseAddress(o.Addr)
	if err != nil {
		return nil, err
	}
	c := &connector{
		address: a, dialFunc: o.Dial, resolver: o.Resolver, family: "ip" + o.Family, client: o.Client,
		known: make(map[string]*endpoint),
	}
	if c.dialFunc == nil {
		c.dialFunc = Dial
	}
	if o.Resolver != nil || o.Dial == nil {
		c.hosts, _ = o.Resolver.(HostResolver)
		if o.Resolver == nil {
			c.hosts = net.DefaultResolver
		}
	}
	if c.resolver == nil {
		c.resolver = net.DefaultResolver
	}
	c.client.LMTP = a.lmtp
	c.client.Logins = new(smtpclient.Logins)
	c.sessions = c.client.Sessions
	if t := c.client.TLSConfig; t != nil && t.ClientSessionCache != nil {
		c.sessions, c.client.TLSConfig = t.ClientSessionCache, t.Clone()
		c.client.TLSConfig.ClientSessionCache = nil
	}
	if c.client.Auth != nil && !c.trusts() {
		c.client.Auth = refuseLogin
	}
	c.setConcurrency(o.Concurrency)
	return c, nil
}

// setConcurrency sets the size of a piece from the limit for connections.
func (c *connector) setConcurrency(concurrency int) {
	piece := c.client.Piece
	if piece == 0 && concurrency > manyConnections {
		piece = smallPiece
	}
	c.piece.Store(int64(piece))
}

// A link is a connection ready for transactions.
type link struct {
	conn     *smtpclient.Conn
	raw      net.Conn // connection below conn
	endpoint *endpoint
}

// connect opens a connection to the first usable endpoint of the relay. connect calls greeted for each greeting. A
// refused login ends the search: the other hosts would count the failed login, too, and some relays lock the account.
func (c *connector) connect(ctx context.Context, greeted func()) (*link, *smtpclient.Error) {
	if err := c.client.Logins.Wait(); err != nil && c.client.Auth != nil {
		return nil, err
	}
	endpoints, err := c.endpoints(ctx)
	if err != nil {
		return nil, &smtpclient.Error{Op: attempt.OpDial, Err: err}
	}
	several, limit := len(endpoints) > 1, searchTime
	if timeout := c.client.Timeout; timeout > 0 {
		limit = min(limit, 2*timeout)
	}
	began := time.Now()
	var last *smtpclient.Error
	for len(endpoints) > 0 {
		l, tried, err := c.connectToFirst(ctx, endpoints, greeted)
		if err == nil {
			return l, nil
		}
		last = err
		if several && err.Err != nil {
			last = &smtpclient.Error{Op: err.Op, Err: fmt.Errorf("%s: %w", tried[len(tried)-1].addr, err.Err)}
		}
		if endsSearch(ctx, err) || time.Since(began) >= limit {
			break
		}
		endpoints = slices.DeleteFunc(endpoints, func(e *endpoint) bool { return slices.Contains(tried, e) })
	}
	return nil, last
}

var errUntrusted = errors.New("no login at a host that an MX of the DNS names, as anyone may have forged the answer: " +
	"smtptlsname, smtppin or smtpca says whom to trust")

// trusts reports whether the settings say which host may get a login, or the address does.
func (c *connector) trusts() bool {
	if c.address.mx == "" || len(c.client.Pins) > 0 {
		return true
	}
	t := c.client.TLSConfig
	return t != nil && (t.ServerName != "" || t.RootCAs != nil || t.VerifyConnection != nil)
}

// refuseLogin is the AuthFunc of a relay whose host is not trusted.
func refuseLogin(context.Context, smtpclient.AuthOffer) (string, sasl.Client, error) {
	return "", nil, errUntrusted
}

// connectToFirst opens a connection to the first endpoint that can be reached, and sets up a session. tried are the
// endpoints that cannot be used.
func (c *connector) connectToFirst(
	ctx context.Context, endpoints []*endpoint, greeted func(),
) (l *link, tried []*endpoint, failed *smtpclient.Error) {
	nc, e, tried, err := c.race(ctx, endpoints)
	if err != nil {
		return nil, tried, &smtpclient.Error{Op: attempt.OpDial, Err: err}
	}
	l, failed = c.setUp(ctx, nc, e, greeted)
	for failed != nil && failed.Op == attempt.OpAuth && c.client.Logins.Another() && ctx.Err() == nil {
		if nc, err = c.dialFunc(ctx, e.network, e.addr); err != nil {
			break
		}
		l, failed = c.setUp(ctx, nc, e, greeted)
	}
	if failed != nil {
		if failed.Op != attempt.OpAuth && ctx.Err() == nil {
			e.failed(failed, time.Now())
		}
		return nil, append(tried, e), failed
	}
	return l, nil, nil
}

// setUp sets up a session on a connection. If the relay refuses the resumption of a TLS session, setUp tries again on
// another connection without resumption.
func (c *connector) setUp(ctx context.Context, nc net.Conn, e *endpoint, greeted func()) (*link, *smtpclient.Error) {
	config := c.config(nc, e)
	config.Welcomed = greeted
	cache := &resumption{ClientSessionCache: c.sessions}
	if c.sessions != nil {
		config.Sessions = cache
	}
	conn, err := smtpclient.Connect(ctx, nc, config)
	if err != nil && cache.used && afterHandshake(asError(err)) && ctx.Err() == nil {
		if nc, err = c.dialFunc(ctx, e.network, e.addr); err != nil {
			return nil, &smtpclient.Error{Op: attempt.OpDial, Err: err}
		}
		config.Sessions = &resumption{ClientSessionCache: c.sessions, off: true}
		conn, err = smtpclient.Connect(ctx, nc, config)
	}
	if err != nil {
		return nil, asError(err)
	}
	return &link{conn: conn, raw: nc, endpoint: e}, nil
}

// remoteAddr returns the IP address and port of the other end of a connection; empty: there is none.
func remoteAddr(nc net.Conn) string {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.String()
	}
	return ""
}

// afterHandshake reports whether a failed handshake can show as e: with TLS 1.3 the refusal of the relay comes in
// place of the first reply.
func afterHandshake(e *smtpclient.Error) bool {
	return e.Reply.Code == 0 && slices.Contains([]attempt.Op{attempt.OpTLS, attempt.OpGreeting, attempt.OpEHLO}, e.Op)
}

// A resumption is the cache of TLS sessions as one connection sees it.
type resumption struct {
	tls.ClientSessionCache
	off  bool // no session is resumed
	used bool // a session was found
}

// Get returns the session to resume.
func (r *resumption) Get(key string) (*tls.ClientSessionState, bool) {
	if r.off {
		return nil, false
	}
	s, ok := r.ClientSessionCache.Get(key)
	r.used = r.used || ok
	return s, ok
}

// config returns the settings for a session on a connection to e.
func (c *connector) config(nc net.Conn, e *endpoint) smtpclient.Config {
	config := c.client
	config.Piece = int(c.piece.Load())
	config.Host, config.AltHost, config.Local, config.TLS = e.host, e.altHost, e.local, e.mode(config.TLS)
	config.Abilities = &e.abilities
	if config.LocalName == "" {
		config.LocalName = greetingName(nc)
	}
	return config
}

// race connects to the first endpoint that can be reached. An endpoint gets a head start before the next one (RFC
// 8305), and an endpoint slower than the next one rests. tried are the endpoints that cannot be reached.
func (c *connector) race(ctx context.Context, endpoints []*endpoint) (net.Conn, *endpoint, []*endpoint, error) {
	if e := endpoints[0]; len(endpoints) == 1 {
		nc, err := c.dialFunc(ctx, e.network, e.addr)
		if err != nil {
			return nil, nil, endpoints, err
		}
		return nc, e, nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialed, len(endpoints))
	start := func(e *endpoint) {
		nc, err := c.dialFunc(ctx, e.network, e.addr)
		results <- dialed{nc, e, err}
	}
	var tried []*endpoint
	var last error
	begun, running := 0, 0
	next := time.NewTimer(0)
	defer next.Stop()
	for begun < len(endpoints) || running > 0 {
		var head <-chan time.Time
		if begun < len(endpoints) {
			head = next.C
		}
		select {
		case <-head:
			go start(endpoints[begun])
			begun, running = begun+1, running+1
			next.Reset(stagger)
		case r := <-results:
			running--
			if r.err != nil {
				tried, last = append(tried, r.e), r.err
				if ctx.Err() == nil {
					r.e.failed(r.err, time.Now())
				}
				next.Reset(0)
				continue
			}
			restSlower(endpoints[:begun], append(tried, r.e))
			go closeLate(results, running)
			return r.nc, r.e, tried, nil
		}
	}
	return nil, nil, tried, last
}

// dialed is the outcome of one attempt to connect to an endpoint.
type dialed struct {
	nc  net.Conn
	e   *endpoint
	err error
}

// restSlower has the endpoints rest that were begun and have no result yet.
func restSlower(begun, ended []*endpoint) {
	for _, e := range begun {
		if !slices.Contains(ended, e) {
			e.failed(errSlow, time.Now())
		}
	}
}

// closeLate closes the connections among the next n results: another endpoint was faster.
func closeLate(results <-chan dialed, n int) {
	for range n {
		if late := <-results; late.err == nil {
			_ = late.nc.Close()
		}
	}
}

var errSlow = errors.New("another address was faster")

// endsSearch reports whether no other host is tried after err.
func endsSearch(ctx context.Context, err *smtpclient.Error) bool {
	return err.Op == attempt.OpAuth || ctx.Err() != nil
}

func asError(err error) *smtpclient.Error {
	var e *smtpclient.Error
	if !errors.As(err, &e) {
		e = &smtpclient.Error{Op: attempt.OpGreeting, Err: err}
	}
	return e
}

// greetingName returns the host name for EHLO, or an address literal if the host has no name with a domain (RFC 5321,
// section 4.1.3): relays refuse "localhost".
func greetingName(nc net.Conn) string {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	return greetingNameFor(name, nc.LocalAddr())
}

func greetingNameFor(hostname string, local net.Addr) string {
	if isDomain(hostname) {
		return hostname
	}
	tcp, ok := local.(*net.TCPAddr)
	if !ok {
		return "localhost"
	}
	if ip := tcp.IP.To4(); ip != nil {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + tcp.IP.String() + "]"
}

// A label is a part of a domain (sub-domain of RFC 5321, section 4.1.2) of at most 63 octets (RFC 1035, section 2.3.4).
var label = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// isDomain reports whether hostname is a domain that relays accept in EHLO. Placeholders of installers, such as
// "localhost.localdomain", and IP addresses are none.
func isDomain(hostname string) bool {
	labels := strings.Split(strings.ToLower(hostname), ".")
	last := labels[len(labels)-1]
	if len(labels) < 2 || len(hostname) > 253 || last == "localhost" ||
		strings.HasPrefix(last, "localdomain") || strings.Trim(last, "0123456789") == "" {
		return false
	}
	return !slices.ContainsFunc(labels, func(s string) bool { return !label.MatchString(s) })
}
