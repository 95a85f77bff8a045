package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// guard checks requests. With a token, each request needs it. Without a token only loopback may ask, and other sites in
// a browser of this host must be kept out: they can send requests, by a name of their own for this host (DNS rebinding)
// or across origins (CSRF), but cannot choose Host, Origin and Sec-Fetch-Site.
type guard struct {
	token [sha256.Size]byte        // digest, for a comparison in constant time
	none  bool                     // there is no token, and no authorize
	ask   func(*http.Request) bool // decides in place of the token; nil: the token decides
	cross *http.CrossOriginProtection
	log   *slog.Logger
	told  *atomic.Int64 // when a wrong token was last told of, Unix time
}

func newGuard(token string, ask func(*http.Request) bool, log *slog.Logger) guard {
	return guard{
		token: sha256.Sum256([]byte(token)), none: token == "" && ask == nil, ask: ask,
		cross: http.NewCrossOriginProtection(),
		log:   log, told: new(atomic.Int64),
	}
}

// host refuses requests for another host than loopback, if there is no token.
func (g *guard) host(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.none && !local(r.Host) {
			refuse(w, http.StatusMisdirectedRequest,
				"this host is not called "+r.Host+" here; ask for localhost, or run the daemon with -httptokenfile")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local reports whether the Host header names loopback, with any port, because of tunnels.
func local(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		name = host[1 : len(host)-1]
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// check accepts requests with the token, if there is one, and from no other site.
func (g *guard) check(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case g.ask != nil && !g.ask(r):
			refuse(w, http.StatusForbidden, "the application does not allow the request")
		case g.ask == nil && !g.knows(r):
			w.Header().Set("WWW-Authenticate",
				`Basic realm="Spoolgore: any name, and the token as the password", charset="UTF-8"`)
			refuse(w, http.StatusUnauthorized, "a token is needed: as the password, or as Authorization: Bearer TOKEN")
		case foreign(r):
			refuse(w, http.StatusForbidden, "the request comes from another site")
		case r.Method != http.MethodPost:
			next.ServeHTTP(w, r)
		case g.cross.Check(r) != nil:
			refuse(w, http.StatusForbidden, "the request comes from another site")
		case !isJSON(r):
			refuse(w, http.StatusUnsupportedMediaType, "the body is to be application/json")
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			next.ServeHTTP(w, r)
		}
	})
}

// foreign reports whether a request comes from a page of another site. Such a page may only link to this one.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return r.URL.Path != "/" || r.Header.Get("Sec-Fetch-Mode") != "navigate" ||
		r.Header.Get("Sec-Fetch-Dest") != "document"
}

// isJSON rejects requests that a form can send.
func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// knows reports whether the request has the token, or needs none.
func (g *guard) knows(r *http.Request) bool {
	if g.none {
		return true
	}
	if g.ask != nil {
		return g.ask(r)
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, given, ok = r.BasicAuth()
	}
	digest := sha256.Sum256([]byte(given))
	if ok && subtle.ConstantTimeCompare(digest[:], g.token[:]) == 1 {
		return true
	}
	if last, now := g.told.Load(), time.Now().Unix(); ok && now-last >= 60 && g.told.CompareAndSwap(last, now) {
		g.log.Warn("request with a wrong token", "remote", r.RemoteAddr) // once a minute, however many there are
	}
	return false
}

// headers tells browsers to load no foreign resources, and to keep the answer from other sites.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// refuse says why a request is not answered.
func refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why})
}

// answer sends v. A reader that is gone is no error.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
