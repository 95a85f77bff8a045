package smtptest

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync"
)

// A pipeEnd is the client side of a connection made by Dial.
type pipeEnd struct {
	net.Conn
	remote net.Addr
	once   sync.Once
	closed chan struct{} // closed when the client has closed the connection: a stalled relay does not read
}

func (p *pipeEnd) RemoteAddr() net.Addr { return p.remote }

func (p *pipeEnd) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Conn.Close()
}

// parseAddr returns the remote address for a connection to addr.
func parseAddr(addr string) net.Addr {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(strings.TrimSuffix(host, "."))
	if ip == nil {
		ip = net.IPv4(192, 0, 2, 1)
	}
	n, _ := strconv.Atoi(port)
	return &net.TCPAddr{IP: ip, Port: n}
}

// An eagerConn writes in the background, in order. Unlike a net.Pipe, and like a socket, both sides can write at the
// same time. A client does so when it refuses the certificate of the relay, or sends many commands at once.
type eagerConn struct {
	net.Conn
	written chan struct{} // closed after the last write; only the goroutine of the session uses written
}

func newEagerConn(conn net.Conn) *eagerConn {
	written := make(chan struct{})
	close(written)
	return &eagerConn{Conn: conn, written: written}
}

func (e *eagerConn) Write(p []byte) (int, error) {
	before, after, data := e.written, make(chan struct{}), bytes.Clone(p)
	e.written = after
	go func() {
		defer close(after)
		<-before
		_, _ = e.Conn.Write(data) // a closed connection shows in the next read
	}()
	return len(p), nil
}

// Close waits for the writes, or until the client has closed the connection.
func (e *eagerConn) Close() error {
	<-e.written
	return e.Conn.Close()
}
