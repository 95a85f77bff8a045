package proxydial

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// greeter is a relay that sends a greeting and closes the connection. It returns its address, and the addresses of its
// clients.
func greeter(t *testing.T) (addr string, clients chan net.Addr) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	clients = make(chan net.Addr, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			clients <- conn.RemoteAddr()
			_, _ = io.WriteString(conn, "220 relay\r\n")
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), clients
}

// connectProxy is an HTTP proxy with the user u and the password p:w. It resolves relay.test to relay, and sends the
// greeting of the relay in the packet of its reply.
func connectProxy(t *testing.T, relay string) *httptest.Server {
	t.Helper()
	return httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		user, password, _ := login.BasicAuth()
		switch {
		case user != "u" || password != "p:w":
			http.Error(w, "who?", http.StatusProxyAuthRequired)
			return
		case r.Method != http.MethodConnect || r.Host != "relay.test:25":
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		out, err := net.Dial("tcp", relay)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer out.Close()
		greeting, _ := bufio.NewReader(out).ReadString('\n')
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer in.Close()
		_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n"+greeting)
	}))
}

// socksProxy is a SOCKS5 proxy without a login. It resolves relay.test to relay.
func socksProxy(t *testing.T, relay string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = socks(conn, relay)
			}()
		}
	}()
	return l.Addr().String()
}

// socks serves one client (RFC 1928).
func socks(conn net.Conn, relay string) error {
	head := make([]byte, 2)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, head[1])); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{5, 0}); err != nil {
		return err
	}
	request := make([]byte, 5)
	if _, err := io.ReadFull(conn, request); err != nil {
		return err
	}
	name := make([]byte, int(request[4])+2)
	if _, err := io.ReadFull(conn, name); err != nil {
		return err
	}
	if request[3] != 3 || string(name[:len(name)-2]) != "relay.test" {
		_, err := conn.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0}) // not allowed
		return err
	}
	out, err := net.Dial("tcp", relay)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	_, err = io.Copy(conn, out)
	return err
}

// greeting connects to addr and returns what the relay sends.
func greeting(s Settings, addr string) (text string, remote net.Addr, err error) {
	dial, err := New(s)
	if err != nil {
		return "", nil, err
	}
	conn, err := dial(context.Background(), "tcp", addr)
	if err != nil {
		return "", nil, err
	}
	defer conn.Close()
	all, err := io.ReadAll(conn)
	return string(all), conn.RemoteAddr(), err
}

func TestProxies(t *testing.T) {
	is := is.New(t)
	relay, _ := greeter(t)
	httpProxy := connectProxy(t, relay)
	httpProxy.Start()
	defer httpProxy.Close()
	socks := socksProxy(t, relay)
	proxy := strings.TrimPrefix(httpProxy.URL, "http://")
	for url, want := range map[string]string{
		"http://u:p%3Aw@" + proxy: "", "http://u:secret@" + proxy: "407 Proxy Authentication Required", "http://" + proxy: "407 ",
		"socks5://" + socks: "", "socks5h://" + socks: "", "socks5://127.0.0.1:1": "refused", "http://127.0.0.1:1": "refused",
	} {
		text, remote, err := greeting(Settings{Proxy: url}, "relay.test:25")
		if want != "" {
			is.True(err != nil)
			is.True(strings.Contains(err.Error(), want))
			is.True(strings.HasPrefix(err.Error(), "proxy 127.0.0.1:"))
			is.True(!strings.Contains(err.Error(), "secret"))
			continue
		}
		is.NoErr(err)
		is.Equal(text, "220 relay\r\n")
		_, err = netip.ParseAddrPort(remote.String())
		is.True(err != nil) // no local address, which would need no TLS
	}
	for _, url := range []string{"http://u:p%3Aw@" + proxy, "socks5://" + socks} {
		_, _, err := greeting(Settings{Proxy: url}, "other.test:25")
		is.True(err != nil) // the proxy refuses
	}
}

// A proxy that sends an endless header, or no reply, blocks a connection no longer than its context.
func TestBadProxies(t *testing.T) {
	is := is.New(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	is.NoErr(err)
	defer l.Close()
	asked := make(chan struct{}, 2)
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = bufio.NewReader(conn).ReadString('\n')
			if n == 0 {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*maxReply))
			}
			asked <- struct{}{}
		}
	}()
	dial, err := New(Settings{Proxy: "http://" + l.Addr().String()})
	is.NoErr(err)
	_, err = dial(context.Background(), "tcp", "relay.test:25")
	is.True(err != nil) // the header is too long
	<-asked
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	_, err = dial(ctx, "tcp", "relay.test:25")
	is.True(err != nil) // interrupted
}

func TestSource(t *testing.T) {
	is := is.New(t)
	relay, clients := greeter(t)
	text, _, err := greeting(Settings{Source: "127.0.0.9"}, relay)
	var refused *net.OpError
	if errors.As(err, &refused) && strings.Contains(err.Error(), "assign requested address") {
		t.Skip("this system has one loopback address")
	}
	is.NoErr(err)
	is.Equal(text, "220 relay\r\n")
	is.True(strings.HasPrefix((<-clients).String(), "127.0.0.9:"))
	_, _, err = greeting(Settings{Source: "::1"}, relay)
	is.True(err != nil) // an address of another family
}

func TestSettings(t *testing.T) {
	is := is.New(t)
	dial, err := New(Settings{})
	is.NoErr(err)
	is.True(dial == nil) // the default dial function
	for text, s := range map[string]Settings{
		"not an IP address": {Source: "localhost"}, "begins with none of": {Proxy: "ftp://127.0.0.1:1080"}, "as socks5://HOST:PORT": {Proxy: "127.0.0.1:1080"}, "want socks5://HOST:PORT": {Proxy: "socks5://"},
		"want http://HOST:PORT": {Proxy: "http://u:secret@a:1/path"}, "not a URL": {Proxy: "http://u:secret%zz@a"},
	} {
		_, err := New(s)
		is.True(err != nil)
		is.True(strings.Contains(err.Error(), text))
		is.True(!strings.Contains(err.Error(), "secret"))
	}
}
