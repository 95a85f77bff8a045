package fleet

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/matryer/is"
)

// A page without a token shows no mail but to users of a Unix socket.
func TestAPageWithoutATokenIsClosed(t *testing.T) {
	is := is.New(t)
	p, err := NewPage(open(t, Options{}), PageOptions{})
	is.NoErr(err)
	tcp := httptest.NewServer(p)
	t.Cleanup(tcp.Close)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	is.NoErr(err)
	unix := &httptest.Server{Listener: l, Config: &http.Server{Handler: p}}
	unix.Start()
	t.Cleanup(unix.Close)
	for url, want := range map[string]int{tcp.URL: 403, "http://localhost": 200} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/messages?state=waiting", nil)
		is.NoErr(err)
		r.Host = "localhost"
		client := &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if want == 200 {
					network, addr = "unix", socket
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			},
		}}
		resp, err := client.Do(r)
		is.NoErr(err)
		resp.Body.Close()
		is.Equal(resp.StatusCode, want)
	}
}
