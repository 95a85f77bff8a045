// Package smtplisten takes mail by SMTP on a socket, for programs on this host or in containers that speak only SMTP:
// the flag -listen of the daemon. Each connection is a session of package stdiosmtp.
package smtplisten

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/stdiosmtp"
)

const (
	maxConnections = 100             // sessions at the same time
	maxPerClient   = 50              // sessions of an address, or of a user of this host, at the same time
	idleLimit      = 5 * time.Minute // wait for the next octet of a client (RFC 5321, section 4.5.3.2.7)
	sessionLimit   = time.Hour       // length of a session
	greetingLimit  = time.Minute     // wait for the first command
	loginPause     = time.Second     // before the reply to a login that is refused
	maxLogins      = 3               // refused logins of a session
	maxArrivals    = 16              // connections that are not yet a session; others wait in the system
	hostBits       = 64              // of an IPv6 address: the network, in which a host takes any address
)

// Listener takes connections. Its methods are called by one goroutine.
type Listener struct {
	// New returns the server for a connection. Uid is the user id of a client on this host; empty: another host, or not
	// known. The server belongs to the connection.
	New func(uid string) (*stdiosmtp.Server, error)
	Log *slog.Logger

	mu      sync.Mutex
	clients map[string]int // sessions by client (keyOf)
	open    int            // sessions
	logins  logins
}

// Serve takes connections from l until ctx ends. Then Serve closes l and all connections that are between two messages
// or within a message; a message with a reply 250 is safe. Serve returns when all sessions have ended.
func (s *Listener) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	arrivals := make(chan struct{}, maxArrivals)
	for {
		arrivals <- struct{}{}
		nc, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = nc.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // no descriptor is free, for example
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			<-arrivals
			continue
		}
		sessions.Go(func() { s.session(ctx, nc, func() { <-arrivals }) })
	}
}

// session runs one connection. session calls admitted when the connection counts as a session, or is refused.
func (s *Listener) session(ctx context.Context, nc net.Conn, admitted func()) {
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	client, uid := host(nc.RemoteAddr()), s.userOf(nc)
	key := keyOf(nc, uid)
	entered := s.enter(key)
	if !entered {
		refuse(nc)
		_ = nc.Close()
	}
	admitted()
	if !entered {
		return
	}
	defer s.leave(key)
	c := &conn{Conn: nc, end: time.Now().Add(sessionLimit)}
	if t, ok := nc.(*tls.Conn); ok {
		_ = nc.SetDeadline(time.Now().Add(greetingLimit))
		if err := t.HandshakeContext(ctx); err != nil {
			s.Log.Debug("SMTP session ended", "client", client, "err", err)
			return
		}
	}
	server, err := s.New(uid)
	if err != nil {
		s.Log.Error("SMTP session cannot begin", "client", client, "err", err)
		_, _ = io.WriteString(c, "421 4.3.0 no service now\r\n")
		return
	}
	if server.Login != nil {
		server.Login = c.limited(s.oneAtATime(ctx, key, server.Login), s.Log, client)
	}
	if err := server.Serve(c, c); err != nil && ctx.Err() == nil {
		s.Log.Debug("SMTP session ended", "client", client, "err", err)
	}
}

// refuse tells the client of a connection beyond the limits the reason. With TLS, the reply would need a handshake,
// which takes processor time, and for which a client could keep the server waiting: the connection is only closed.
func refuse(nc net.Conn) {
	if _, ok := nc.(*tls.Conn); ok {
		return
	}
	_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(nc, "421 4.3.2 too many connections\r\n")
}

// userOf returns the user id of the client, unless the connection is refused in any case.
func (s *Listener) userOf(nc net.Conn) string {
	s.mu.Lock()
	full := s.open >= maxConnections
	s.mu.Unlock()
	if full {
		return ""
	}
	return UserOf(nc)
}

// keyOf returns the client for whom a session counts: a host or, on this host, a user, who has many loopback addresses.
// A host has all IPv6 addresses of a network of 64 bits.
func keyOf(nc net.Conn, uid string) string {
	client, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	switch {
	case uid != "":
		return "uid " + uid
	case err == nil && client.Addr().Unmap().IsLoopback():
		return "this host"
	case err == nil && client.Addr().Unmap().Is6():
		network, _ := client.Addr().WithZone("").Prefix(hostBits)
		return network.String()
	}
	return host(nc.RemoteAddr())
}

// enter counts a session. It returns false if there are too many.
func (s *Listener) enter(client string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= maxConnections || s.clients[client] >= maxPerClient {
		return false
	}
	if s.clients == nil {
		s.clients = make(map[string]int)
	}
	s.open++
	s.clients[client]++
	return true
}

func (s *Listener) leave(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.clients[client]--; s.clients[client] == 0 {
		delete(s.clients, client)
	}
}

// host returns the address without the port.
func host(addr net.Addr) string {
	name, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return name
}

// conn is a connection with deadlines, whose first line must be an SMTP command.
type conn struct {
	net.Conn
	end     time.Time // of the session
	first   []byte    // beginning of the first line; nil after the check
	checked bool
	refused int // logins
}

// errNotSMTP ends a session whose first line is no SMTP command. A web page can make a browser send HTTP to this port,
// with SMTP commands in the body of the request.
var errNotSMTP = errors.New("the first line is no SMTP command")

// openings are the commands that may begin a session.
var openings = [][]byte{
	[]byte("EHLO"), []byte("HELO"), []byte("NOOP"), []byte("RSET"), []byte("QUIT"), []byte("HELP"), []byte("VRFY"),
}

// Read reads from the client.
func (c *conn) Read(p []byte) (int, error) {
	if c.checked {
		c.extend(idleLimit)
		return c.Conn.Read(p)
	}
	c.extend(greetingLimit)
	n, err := c.Conn.Read(p)
	c.first = append(c.first, p[:n]...)
	const verb = 4
	begin := bytes.ToUpper(c.first[:min(len(c.first), verb)])
	possible := slices.ContainsFunc(openings, func(o []byte) bool { return bytes.HasPrefix(o, begin) })
	if !possible || len(c.first) > verb && !bytes.ContainsRune([]byte(" \r\n"), rune(c.first[verb])) {
		_, _ = io.WriteString(c, "500 5.5.1 this is an SMTP server\r\n")
		return 0, errNotSMTP
	}
	if len(c.first) > verb {
		c.first, c.checked = nil, true
	}
	return n, err
}

// Write writes to the client.
func (c *conn) Write(p []byte) (int, error) {
	c.extend(idleLimit)
	return c.Conn.Write(p)
}

// extend moves the deadline, at most to the end of the session.
func (c *conn) extend(limit time.Duration) {
	deadline := time.Now().Add(limit)
	if deadline.After(c.end) {
		deadline = c.end
	}
	_ = c.SetDeadline(deadline)
}

// Resolve returns the address of the socket. Addr is HOST:PORT, or a port on 127.0.0.1. An address for other hosts
// needs a certificate and users.
func Resolve(addr string, certificate, users bool) (*net.TCPAddr, error) {
	full := addr
	if _, _, err := net.SplitHostPort(addr); err != nil {
		full = net.JoinHostPort("127.0.0.1", addr)
	}
	tcp, err := net.ResolveTCPAddr("tcp", full)
	if err != nil {
		return nil, fmt.Errorf("%w; write HOST:PORT or PORT, such as 127.0.0.1:2525", err)
	}
	if !tcp.IP.IsLoopback() && (!certificate || !users) {
		return nil, fmt.Errorf("other hosts can reach %s: set -listenuser, -listencert and -listenkey", full)
	}
	return tcp, nil
}

// Listen opens the socket at the address that Resolve returns. With a certificate, TLS begins with the first octet
// (RFC 8314).
func Listen(addr string, certificate *tls.Certificate, users bool) (net.Listener, error) {
	tcp, err := Resolve(addr, certificate != nil, users)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenTCP("tcp", tcp)
	if err != nil || certificate == nil {
		return l, err
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*certificate}}), nil
}
