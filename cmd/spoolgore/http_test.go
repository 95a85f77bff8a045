//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/cli"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// TestHTTP runs the daemon with its page and requests the pages.
func TestHTTP(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool, relay := t.TempDir(), &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && strings.HasPrefix(arg, "nobody@") {
			return "550 5.1.1 no such user"
		}
		return ""
	}}
	addr := relay.Listen(t)
	drop(t, spool, "a", mail("To: ann@example.org"))
	drop(t, spool, "n", mail("To: nobody@example.org"))
	d := start(t, "-smtpaddr", addr, "-bounce=false", "-http", "0", spool)
	d.logs("msg=\"HTTP server started\"", 1)
	url := "http://" + regexp.MustCompile(`msg="HTTP server started" addr=(\S+)`).FindStringSubmatch(d.log.String())[1]
	eventually(t, "both messages have left the spool", func() bool {
		text := fetch(t, url+"/metrics", "")
		return strings.Contains(text, `spoolgore_recipients_total{code="2.0",outcome="sent",relay="`+addr+`"} 1`) &&
			strings.Contains(text, `spoolgore_recipients_total{code="5.1",outcome="failed",relay="`+addr+`"} 1`)
	})
	is.Equal(fetch(t, url+"/healthz", ""), "ok\n")
	eventually(t, "the status has both outcomes", func() bool {
		var s struct{ Sent, Failed int }
		must(t, json.Unmarshal([]byte(fetch(t, url+"/status", "")), &s))
		return s.Sent == 1 && s.Failed == 1
	})
	is.True(strings.Contains(fetch(t, url, ""), "<title>Spoolgore</title>"))
	d.stop()
	is.Equal(strings.Count(d.log.String(), "level=ERROR"), 1) // for the message that was given up
}

// fetch returns the response to GET url, or the status code if it is not 200.
func fetch(t *testing.T, url, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	got, err := http.DefaultClient.Do(r)
	must(t, err)
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	must(t, err)
	if got.StatusCode != http.StatusOK {
		return got.Status[:3]
	}
	return string(text)
}

func TestHTTPToken(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef"
	credentials := t.TempDir()
	must(t, os.WriteFile(filepath.Join(credentials, "httptoken"), []byte(token+"\n"), 0o600))
	file := filepath.Join(credentials, "httptoken")
	for name, tt := range map[string]struct {
		env, args []string
	}{
		"file":        {nil, []string{"-httptokenfile", file}},
		"flag":        {nil, []string{"-httptoken", token}},
		"environment": {[]string{"SPOOLGORE_HTTPTOKEN=" + token}, nil},
		"systemd":     {[]string{"CREDENTIALS_DIRECTORY=" + credentials}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			d := startWith(t, tt.env, append(tt.args, "-http", "0", t.TempDir())...)
			d.logs("msg=\"HTTP server started\"", 1)
			url := "http://" + regexp.MustCompile(`msg="HTTP server started" addr=(\S+)`).FindStringSubmatch(d.log.String())[1]
			is.Equal(fetch(t, url+"/status", ""), "401")
			is.Equal(fetch(t, url+"/status", "0123456789abcdeF"), "401")
			is.True(strings.HasPrefix(fetch(t, url+"/status", token), "{"))
			is.True(!strings.Contains(d.log.String(), token))
			is.Equal(strings.Contains(d.log.String(), "can be seen by every user"), name == "flag")
			d.stop()
		})
	}
}

func TestHTTPErrors(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { taken.Close() })
	short := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(short, []byte("secret\n"), 0o600))
	for name, tt := range map[string]struct {
		args []string
		code int
		want string // text in the log or on standard error
	}{
		"no token":      {[]string{"-http", "0.0.0.0:0"}, cli.ExitConfig, "-httptokenfile"},
		"a short token": {[]string{"-http", "0", "-httptokenfile", short}, cli.ExitConfig, "too short"},
		"no file":       {[]string{"-http", "0", "-httptokenfile", short + "x"}, cli.ExitConfig, "no such file"},
		"a bad address": {[]string{"-http", "here"}, cli.ExitConfig, "HOST:PORT"},
		"a taken port":  {[]string{"-http", taken.Addr().String()}, cli.ExitSoftware, "address already in use"},
		"a token alone": {[]string{"-httptoken", "0123456789abcdef"}, cli.ExitUsage, "-http"},
		"two of them":   {[]string{"-http", "0", "-httptoken", "x", "-httptokenfile", short}, cli.ExitUsage, "only one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			d := start(t, append(tt.args, t.TempDir())...)
			is.Equal(d.exit(), tt.code)
			is.True(strings.Contains(d.log.String(), tt.want)) // the log says what to do
		})
	}
}
