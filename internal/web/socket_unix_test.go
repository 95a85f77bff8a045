//go:build unix

package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// A shared spool needs a token on loopback, and none on a Unix socket of mode 0660.
func TestSharedSpoolNeedsAToken(t *testing.T) {
	for _, row := range []struct {
		mode        os.FileMode
		token, addr string
		refused     bool
	}{
		{0o700, "", "127.0.0.1:0", false},
		{0o755, "", "127.0.0.1:0", false},
		{0o770 | os.ModeSetgid, "", "127.0.0.1:0", true},
		{0o777 | os.ModeSticky, "", "[::1]:0", true},
		{0o770, "0123456789abcdef", "127.0.0.1:0", false},
		{0o770, "", "unix:", false},
	} {
		is := is.New(t)
		spool, addr := t.TempDir(), row.addr
		is.NoErr(os.Chmod(spool, row.mode))
		if addr == "unix:" {
			addr += filepath.Join(spool, "sock")
		}
		s, err := New(Options{Dir: spool, Token: row.token})
		is.NoErr(err)
		l, err := s.Listen(addr)
		is.Equal(err != nil, row.refused) // mode, token and address of the row
		if err != nil {
			is.True(strings.Contains(err.Error(), "-httptokenfile"))
			continue
		}
		is.NoErr(l.Close())
	}
}

func TestUnixSocket(t *testing.T) {
	is := is.New(t)
	spool, path := t.TempDir(), filepath.Join(t.TempDir(), "s")
	s, err := New(Options{Dir: spool})
	is.NoErr(err)
	_, err = s.Listen("unix:relative")
	is.True(err != nil)
	is.NoErr(os.WriteFile(path, nil, 0o600))
	_, err = s.Listen("unix:" + path)
	is.True(err != nil) // a regular file is not replaced
	is.NoErr(os.Remove(path))
	stale, err := net.Listen("unix", path)
	is.NoErr(err)
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	is.NoErr(stale.Close())
	l, err := s.Listen("unix:" + path) // replaces the socket of an earlier daemon
	is.NoErr(err)
	defer l.Close()
	fi, err := os.Stat(path)
	is.NoErr(err)
	is.Equal(fi.Mode().Perm(), os.FileMode(0o660))
	_, err = s.Listen("unix:" + path)
	is.True(err != nil) // the socket is in use
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })}
	go server.Serve(l)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	resp, err := client.Get("http://localhost/")
	is.NoErr(err)
	is.NoErr(resp.Body.Close())
	is.Equal(resp.StatusCode, http.StatusOK)
}
