package smarthost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// OpDial is the step of an error before the relay could be heard.
const OpDial smtpclient.Op = "dial"

// A link is a connection on which the relay can be offered messages.
type link struct {
	conn *smtpclient.Conn
	raw  net.Conn // below conn
}

// connect tries all places of the relay. One that refuses our login ends that: the others would count it too, and some
// lock an account after a few. It calls welcomed when one has greeted.
func (r *Relay) connect(ctx context.Context, welcomed func()) (*link, *smtpclient.Error) {
	lookup, cancel := context.WithTimeout(ctx, dialLimit)
	places, err := r.address.places(lookup, r.opts.Resolver)
	cancel()
	if err != nil {
		return nil, &smtpclient.Error{Op: OpDial, Err: err}
	}
	var last *smtpclient.Error
	for _, p := range places {
		l, err := r.connectTo(ctx, p, welcomed)
		if err == nil {
			return l, nil
		}
		last = err
		if len(places) > 1 && err.Err != nil {
			last = &smtpclient.Error{Op: err.Op, Err: fmt.Errorf("%s: %w", p.addr, err.Err)}
		}
		if isLast(ctx, err) {
			break
		}
	}
	return nil, last
}

func (r *Relay) connectTo(ctx context.Context, p place, welcomed func()) (*link, *smtpclient.Error) {
	nc, config, failed := r.dial(ctx, p)
	if failed != nil {
		return nil, failed
	}
	config.Welcomed = welcomed
	conn, err := smtpclient.Connect(ctx, nc, config)
	if err != nil {
		return nil, asError(err)
	}
	return &link{conn: conn, raw: nc}, nil
}

// isLast reports whether no other place is to be tried after err.
func isLast(ctx context.Context, err *smtpclient.Error) bool {
	return err.Op == smtpclient.OpAuth || ctx.Err() != nil
}

// dial connects to a place, and returns how the relay there is to be spoken to.
func (r *Relay) dial(ctx context.Context, p place) (net.Conn, smtpclient.Config, *smtpclient.Error) {
	config := r.opts.Client
	nc, err := r.opts.Dial(ctx, p.network, p.addr)
	if err != nil {
		return nil, config, &smtpclient.Error{Op: OpDial, Err: err}
	}
	r.mu.Lock()
	config.Piece = r.piece
	r.mu.Unlock()
	config.Host, config.TLS = p.host, p.mode(config.TLS)
	if config.LocalName == "" {
		config.LocalName = greetingName(nc)
	}
	return nc, config, nil
}

func asError(err error) *smtpclient.Error {
	var e *smtpclient.Error
	if !errors.As(err, &e) {
		e = &smtpclient.Error{Op: smtpclient.OpGreeting, Err: err}
	}
	return e
}

// depth is how many messages a connection can have in hand at the same time.
func depth(conn *smtpclient.Conn, c *smtpclient.Config) int {
	_, pipelining := conn.Extension("PIPELINING")
	_, chunking := conn.Extension("CHUNKING")
	switch {
	case !pipelining || c.NoPipelining:
		return 1
	case !chunking || c.NoChunking:
		return 2
	case c.Window > 0:
		return c.Window
	}
	return defaultWindow
}

// defaultWindow is what smtpclient takes for a Window of zero.
const defaultWindow = 4

// greetingName is the host's name, or its address as a literal where the name has no domain (RFC 5321, section 4.1.3):
// relays refuse "localhost".
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
