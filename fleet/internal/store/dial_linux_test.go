package store

import (
	"net"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// A server that is gone without a word is given up soon.
func TestSilenceOfTheServerIsLimited(t *testing.T) {
	is := is.New(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	is.NoErr(err)
	defer l.Close()
	c, err := dialer().DialContext(t.Context(), "tcp", l.Addr().String())
	is.NoErr(err)
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	is.NoErr(err)
	is.NoErr(raw.Control(func(fd uintptr) {
		ms, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout)
		is.NoErr(err)
		is.Equal(ms, 30_000)
	}))
}
