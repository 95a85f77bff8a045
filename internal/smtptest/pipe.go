package smtptest

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync"
)

// A pipeEnd is the client's end of a connection made by Dial.
type pipeEnd struct {
	net.Conn
	remote net.Addr
	once   sync.Once
	closed chan struct{} // tells a stalled relay, which does not read, that the client has gone
}

func (p *pipeEnd) RemoteAddr() net.Addr { return p.remote }

func (p *pipeEnd) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Conn.Close()
}

// parseAddr makes the remote address of a connection to addr.
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

// An eagerConn does not wait until what it writes is read, and keeps the order: as a socket, and unlike a net.Pipe, over
// which two ends that write at the same time would wait for each other. A client does that when it does not like the
// relay's certificate, or sends many commands at once.
type eagerConn struct {
	net.Conn
	written chan struct{} // closed when all of it is; used by the session's goroutine alone
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
		_, _ = e.Conn.Write(data) // a client that has gone shows in the next read
	}()
	return len(p), nil
}

// Close waits until all is written, or the client has gone.
func (e *eagerConn) Close() error {
	<-e.written
	return e.Conn.Close()
}
