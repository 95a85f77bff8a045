package web

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/matryer/is"
)

const secretToken = "0123456789abcdef"

// request is a request of a test: GET / to localhost, unless fields are set.
type request struct {
	method, path, host string
	header             []string // "Name: value"
	body               string
}

// send returns the response of the server.
func send(h http.Handler, q request) *httptest.ResponseRecorder {
	if q.method == "" {
		q.method = http.MethodGet
	}
	if q.path == "" {
		q.path = "/"
	}
	if q.host == "" {
		q.host = "localhost:8025"
	}
	r := httptest.NewRequest(q.method, "http://"+q.host+q.path, strings.NewReader(q.body))
	r.Host = q.host
	for _, line := range q.header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// The application is asked once about a request: the answer may cost, or count.
func TestTheApplicationIsAskedOnce(t *testing.T) {
	is := is.New(t)
	asked := 0
	g := newGuard("", func(*http.Request) bool { asked++; return true }, slog.New(slog.DiscardHandler))
	w := send(g.check(http.NotFoundHandler()), request{})
	is.Equal(w.Code, http.StatusNotFound)
	is.Equal(asked, 1)
}

func TestWhoMayAsk(t *testing.T) {
	const (
		asJSON   = "Content-Type: application/json"
		same     = "Sec-Fetch-Site: same-origin"
		cross    = "Sec-Fetch-Site: cross-site"
		sibling  = "Sec-Fetch-Site: same-site" // another port of localhost
		navigate = "Sec-Fetch-Mode: navigate"
		document = "Sec-Fetch-Dest: document"
		frame    = "Sec-Fetch-Dest: iframe"
		flush    = `{"act":"flush"}`
	)
	do := func(host string, header ...string) request {
		return request{method: "POST", path: "/do", host: host, header: append(header, asJSON), body: flush}
	}
	tests := map[string]struct {
		token string
		request
		want int
	}{
		// Without a token, only names of loopback are allowed: otherwise another site could read by a name of its own
		// (DNS rebinding).
		"localhost":             {"", request{}, 200},
		"localhost, no port":    {"", request{host: "localhost"}, 200},
		"LOCALHOST":             {"", request{host: "LOCALHOST:1"}, 200},
		"through a tunnel":      {"", request{host: "127.0.0.1:9999"}, 200},
		"127.8.8.8":             {"", request{host: "127.8.8.8:8025"}, 200},
		"[::1]":                 {"", request{host: "[::1]:8025"}, 200},
		"[::1], no port":        {"", request{host: "[::1]"}, 200},
		"another name":          {"", request{host: "evil.example"}, 421},
		"another name and port": {"", request{host: "evil.example:8025"}, 421},
		"a name like it":        {"", request{host: "localhost.evil.example:8025"}, 421},
		"a name in front":       {"", request{host: "evil.localhost:8025"}, 421},
		"an address":            {"", request{host: "192.0.2.1:8025"}, 421},
		"0.0.0.0":               {"", request{host: "0.0.0.0:8025"}, 421},
		"a number":              {"", request{host: "2130706433:8025"}, 421},
		"health by a name":      {"", request{host: "evil.example", path: "/healthz"}, 421},
		"metrics by a name":     {"", request{host: "evil.example", path: "/metrics"}, 421},
		"an order by a name":    {"", do("evil.example"), 421},

		// Another site in a browser may link to the page, and no more.
		"data, own page":         {"", request{path: "/status", header: []string{same}}, 200},
		"data, another site":     {"", request{path: "/status", header: []string{cross}}, 403},
		"data, another port":     {"", request{path: "/messages?state=failed", header: []string{sibling}}, 403},
		"page, typed":            {"", request{header: []string{"Sec-Fetch-Site: none"}}, 200},
		"page, a link":           {"", request{header: []string{cross, navigate, document}}, 200},
		"page, in a frame":       {"", request{header: []string{cross, navigate, frame}}, 403},
		"data, a link":           {"", request{path: "/status", header: []string{cross, navigate, document}}, 403},
		"order, own page":        {"", do("", same), 200},
		"order, own origin":      {"", do("", "Origin: http://localhost:8025"), 200},
		"order, program":         {"", do(""), 200},
		"order, another site":    {"", do("", cross), 403},
		"order, another port":    {"", do("", sibling), 403},
		"order, another origin":  {"", do("", "Origin: http://evil.example"), 403},
		"order, origin and port": {"", do("", "Origin: http://localhost:3000"), 403},
		"order, null origin":     {"", do("", "Origin: null"), 403},
		"order, a form":          {"", request{method: "POST", path: "/do", header: []string{"Content-Type: application/x-www-form-urlencoded"}, body: flush}, 415},
		"order, text":            {"", request{method: "POST", path: "/do", header: []string{"Content-Type: text/plain"}, body: flush}, 415},
		"order, no type":         {"", request{method: "POST", path: "/do", body: flush}, 415},
		"order by GET":           {"", request{path: "/do?act=flush"}, 405},
		"order by PUT":           {"", request{method: "PUT", path: "/do", header: []string{asJSON}, body: flush}, 405},
		"data by POST":           {"", request{method: "POST", path: "/status", header: []string{asJSON}}, 405},
		"preflight":              {"", request{method: "OPTIONS", path: "/do", header: []string{"Origin: http://evil.example", "Access-Control-Request-Method: POST"}}, 405},
		"nothing there":          {"", request{path: "/etc/passwd"}, 404},
		"a way up":               {"", request{path: "/../../etc/passwd"}, 307},

		// With a token any name is allowed, if the request has the token.
		"token, none":             {secretToken, request{}, 401},
		"token, data":             {secretToken, request{path: "/status"}, 401},
		"token, metrics":          {secretToken, request{path: "/metrics"}, 401},
		"token, order":            {secretToken, do("", same), 401},
		"token, health":           {secretToken, request{path: "/healthz"}, 200},
		"token, life":             {secretToken, request{path: "/livez"}, 200},
		"token, bearer":           {secretToken, request{host: "mail.example.com", header: []string{"Authorization: Bearer " + secretToken}}, 200},
		"token, password":         {secretToken, request{host: "mail.example.com", header: []string{"Authorization: Basic bWU6MDEyMzQ1Njc4OWFiY2RlZg=="}}, 200},
		"token, wrong":            {secretToken, request{header: []string{"Authorization: Bearer 0123456789abcdeF"}}, 401},
		"token, a part":           {secretToken, request{header: []string{"Authorization: Bearer 0123456789abcde"}}, 401},
		"token, empty":            {secretToken, request{header: []string{"Authorization: Bearer "}}, 401},
		"token, as name":          {secretToken, request{header: []string{"Authorization: Basic MDEyMzQ1Njc4OWFiY2RlZjo="}}, 401},
		"token, order of its own": {secretToken, do("mail.example.com", same, "Authorization: Bearer "+secretToken), 200},
		"token, order elsewhere":  {secretToken, do("mail.example.com", cross, "Authorization: Bearer "+secretToken), 403},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			flushed := false
			s, _ := serve(t, t.TempDir(), Options{Token: tt.token, Flush: func() { flushed = true }})
			got := send(s.Handler(), tt.request)
			is.Equal(got.Code, tt.want)
			is.Equal(flushed, tt.path == "/do" && tt.want == 200) // a refused action is not done
			is.Equal(got.Header().Get("Access-Control-Allow-Origin"), "")
			is.Equal(got.Header().Get("X-Content-Type-Options"), "nosniff")
			is.Equal(got.Header().Get("X-Frame-Options"), "DENY")
			is.True(strings.HasPrefix(got.Header().Get("Content-Security-Policy"), "default-src 'none'"))
		})
	}
}

func TestWhereToListen(t *testing.T) {
	tests := map[string]struct {
		addr, token string
		want        string // the host to listen on; or
		err         string // text of the error
	}{
		"a port":             {"0", "", "127.0.0.1", ""},
		"a port and a colon": {":0", "", "127.0.0.1", ""},
		"localhost":          {"localhost:0", "", "127.0.0.1", ""},
		"all addresses":      {"0.0.0.0:0", "", "", "-httptokenfile"},
		"all, with a token":  {"0.0.0.0:0", secretToken, "::", ""},
		"all of version 6":   {"[::]:0", "", "", "-httptokenfile"},
		"a name and no port": {"localhost", "", "", "HOST:PORT"},
		"too large a port":   {"70000", "", "", "HOST:PORT"},
		"nothing at all":     {"", "", "", "HOST:PORT"},
		"a path":             {"/run/spoolgore.sock", "", "", "HOST:PORT"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			s, _ := serve(t, t.TempDir(), Options{Token: tt.token})
			l, err := s.Listen(tt.addr)
			if tt.err != "" {
				is.True(err != nil && strings.Contains(err.Error(), tt.err)) // the error says what to do
				return
			}
			is.NoErr(err)
			defer l.Close()
			is.Equal(l.Addr().(*net.TCPAddr).IP.String(), tt.want)
		})
	}
}

func TestATokenThatCanBeGuessed(t *testing.T) {
	is := is.New(t)
	_, err := New(Options{Dir: t.TempDir(), Token: "secret", Collector: &fakePulse{}, Log: slog.New(slog.DiscardHandler)})
	is.True(err != nil && strings.Contains(err.Error(), "16"))
	is.True(!strings.Contains(err.Error(), "secret")) // the error does not show the token
}

func TestAWrongTokenIsLoggedOnceAMinute(t *testing.T) {
	is := is.New(t)
	var log strings.Builder
	s, err := New(Options{Dir: t.TempDir(), Token: secretToken, Collector: &fakePulse{last: well()}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	is.NoErr(err)
	for i := range 100 {
		send(s.Handler(), request{header: []string{fmt.Sprint("Authorization: Bearer wrong", i)}})
		send(s.Handler(), request{}) // a request without a token is not logged, as every browser begins with one
	}
	is.Equal(strings.Count(log.String(), "wrong token"), 1)
	is.True(!strings.Contains(log.String(), "wrong0"))
}
