package smtppool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"

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
	client   smtpclient.Config
	piece    atomic.Int64 // Config.Piece of new connections
}

func newConnector(o Options) (*connector, error) {
	a, err := parseAddress(o.Addr)
	if err != nil {
		return nil, err
	}
	c := &connector{address: a, dialFunc: o.Dial, resolver: o.Resolver, client: o.Client}
	if c.dialFunc == nil {
		c.dialFunc = Dial
	}
	if c.resolver == nil {
		c.resolver = net.DefaultResolver
	}
	c.client.LMTP = a.lmtp
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
	conn *smtpclient.Conn
	raw  net.Conn // connection below conn
}

// connect opens a connection to the first usable host of the relay. connect calls greeted for each greeting. A refused
// login ends the search: the other hosts would count the failed login, too, and some relays lock the account.
func (c *connector) connect(ctx context.Context, greeted func()) (*link, *smtpclient.Error) {
	places, failed := c.lookup(ctx)
	if failed != nil {
		return nil, failed
	}
	var last *smtpclient.Error
	for _, p := range places {
		l, err := c.connectTo(ctx, p, greeted)
		if err == nil {
			return l, nil
		}
		last = err
		if len(places) > 1 && err.Err != nil {
			last = &smtpclient.Error{Op: err.Op, Err: fmt.Errorf("%s: %w", p.addr, err.Err)}
		}
		if endsSearch(ctx, err) {
			break
		}
	}
	return nil, last
}

// lookup returns the hosts of the relay.
func (c *connector) lookup(ctx context.Context) ([]place, *smtpclient.Error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	places, err := c.address.places(ctx, c.resolver)
	if err != nil {
		return nil, &smtpclient.Error{Op: attempt.OpDial, Err: err}
	}
	return places, nil
}

func (c *connector) connectTo(ctx context.Context, p place, greeted func()) (*link, *smtpclient.Error) {
	nc, config, failed := c.dial(ctx, p)
	if failed != nil {
		return nil, failed
	}
	config.Welcomed = greeted
	conn, err := smtpclient.Connect(ctx, nc, config)
	if err != nil {
		return nil, asError(err)
	}
	return &link{conn: conn, raw: nc}, nil
}

// dial opens a connection to a host, and returns the settings for a session.
func (c *connector) dial(ctx context.Context, p place) (net.Conn, smtpclient.Config, *smtpclient.Error) {
	config := c.client
	nc, err := c.dialFunc(ctx, p.network, p.addr)
	if err != nil {
		return nil, config, &smtpclient.Error{Op: attempt.OpDial, Err: err}
	}
	config.Piece = int(c.piece.Load())
	config.Host, config.TLS = p.host, p.mode(config.TLS)
	if config.LocalName == "" {
		config.LocalName = greetingName(nc)
	}
	return nc, config, nil
}

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

// greetingName returns the host name for EHLO, or an address literal if the host name has no domain (RFC 5321, section
// 4.1.3): relays refuse "localhost".
func greetingName(nc net.Conn) string {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	return greetingNameFor(name, nc.LocalAddr())
}

func greetingNameFor(hostname string, local net.Addr) string {
	if strings.Contains(hostname, ".") {
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
