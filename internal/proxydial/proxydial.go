// Package proxydial connects to mail relays from a chosen source address and through a proxy: SOCKS5 (RFC 1928) or HTTP
// CONNECT (RFC 9110, section 9.3.6).
package proxydial

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

// limit is the time for one connection, in which all addresses of a host are tried.
const limit = 30 * time.Second

// maxReply is the maximum size of the reply of an HTTP proxy, in bytes.
const maxReply = 16 << 10

// Settings are the choices of the operator. The zero value connects directly.
type Settings struct {
	Proxy  string // URL of the proxy: socks5://, http:// or https://, with USER:PASSWORD@ if needed; empty: no proxy
	Source string // IP address of this host for the connections; empty: the system's choice
}

// A dialer connects to relays.
type dialer struct {
	direct net.Dialer
	proxy  *url.URL // nil: none
}

// New returns a function for spoolgore.Options.Dial, nil for the zero value of s. A relay at a UNIX socket is reached
// directly. The name of a relay is sent to the proxy, which looks the name up.
func New(s Settings) (func(ctx context.Context, network, addr string) (net.Conn, error), error) {
	if s == (Settings{}) {
		return nil, nil
	}
	d := &dialer{}
	if s.Source != "" {
		ip := net.ParseIP(s.Source)
		if ip == nil {
			return nil, fmt.Errorf("source: %q is not an IP address", s.Source)
		}
		d.direct.LocalAddr = &net.TCPAddr{IP: ip}
	}
	if s.Proxy == "" {
		return d.dial, nil
	}
	u, err := url.Parse(s.Proxy)
	if err != nil {
		return nil, errors.New("proxy: not a URL as socks5://HOST:PORT") // the error of Parse holds the password
	}
	port := map[string]string{"socks5": "1080", "socks5h": "1080", "http": "80", "https": "443"}[u.Scheme]
	switch {
	case port == "":
		return nil, errors.New("proxy: the URL begins with none of socks5://, http:// and https://")
	case u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("proxy: want %s://HOST:PORT", u.Scheme)
	case u.Port() == "":
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	d.proxy = u
	return d.dial, nil
}

// dial connects to addr.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	switch {
	case network == "unix":
		return new(net.Dialer).DialContext(ctx, network, addr)
	case d.proxy == nil:
		return d.direct.DialContext(ctx, network, addr)
	}
	conn, err := d.through(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", d.proxy.Host, err)
	}
	return &tunnel{conn, relayAddr{addr, d.proxy.Host}}, nil
}

// A tunnel is a connection through a proxy. Its remote address is no IP address: a relay or a proxy with a loopback
// address would count as a relay on this host, which needs no TLS for a login.
type tunnel struct {
	net.Conn
	relay relayAddr
}

// RemoteAddr implements net.Conn.
func (t *tunnel) RemoteAddr() net.Addr { return t.relay }

// relayAddr is the address of a relay behind a proxy.
type relayAddr struct{ relay, proxy string }

// Network implements net.Addr.
func (a relayAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (a relayAddr) String() string { return a.relay + " through " + a.proxy }

// through connects to addr through the proxy.
func (d *dialer) through(ctx context.Context, addr string) (net.Conn, error) {
	if d.proxy.Scheme == "http" || d.proxy.Scheme == "https" {
		return d.connect(ctx, addr)
	}
	var login *proxy.Auth
	if u := d.proxy.User; u != nil {
		login = &proxy.Auth{User: u.Username()}
		login.Password, _ = u.Password()
	}
	socks, err := proxy.SOCKS5("tcp", d.proxy.Host, login, &d.direct)
	if err != nil {
		return nil, err
	}
	return socks.(proxy.ContextDialer).DialContext(ctx, "tcp", addr)
}

// connect asks an HTTP proxy for a tunnel to addr.
func (d *dialer) connect(ctx context.Context, addr string) (_ net.Conn, err error) {
	conn, err := d.direct.DialContext(ctx, "tcp", d.proxy.Host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_ = conn.Close()
		}
	}()
	secured := conn
	if d.proxy.Scheme == "https" {
		secured = tls.Client(conn, &tls.Config{ServerName: d.proxy.Hostname()})
	}
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if u := d.proxy.User; u != nil {
		password, _ := u.Password()
		login := &http.Request{Header: http.Header{}}
		login.SetBasicAuth(u.Username(), password)
		request.Header.Set("Proxy-Authorization", login.Header.Get("Authorization"))
	}
	if err := request.Write(secured); err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: secured, N: maxReply}
	in := bufio.NewReader(bounded)
	reply, err := http.ReadResponse(in, request)
	if err != nil {
		return nil, fmt.Errorf("read the reply: %w", err)
	}
	if reply.StatusCode/100 != 2 {
		return nil, fmt.Errorf("the proxy refused the connection to %s: %s", addr, reply.Status)
	}
	begun, err := in.Peek(in.Buffered()) // the relay may have sent its greeting
	if err != nil {
		return nil, err
	}
	return &begunConn{Conn: secured, begun: begun}, nil
}

// begunConn is a connection of which a part was read already.
type begunConn struct {
	net.Conn
	begun []byte // read, and not yet returned by Read
}

// Read implements io.Reader.
func (c *begunConn) Read(p []byte) (int, error) {
	if len(c.begun) > 0 {
		n := copy(p, c.begun)
		c.begun = c.begun[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
