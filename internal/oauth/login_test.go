package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/matryer/is"
)

// clientFile writes a file with a client for a server.
func clientFile(t *testing.T, web *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "oauth.json")
	text := fmt.Sprintf(`{"client_id":"app","client_secret":"hush","token_url":"%[1]s/token","auth_url":"%[1]s/auth",`+
		`"device_auth_url":"%[1]s/device"}`, web.URL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoginOnAnotherDevice(t *testing.T) {
	is := is.New(t)
	var polls atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = r.ParseForm()
		switch {
		case r.URL.Path == "/device":
			is.Equal(r.Form.Get("scope"), "https://outlook.office.com/SMTP.Send offline_access")
			_, _ = io.WriteString(w, `{"device_code":"D","user_code":"ABCD","verification_uri":"https://x.example","interval":1,"expires_in":60}`)
		case polls.Add(1) == 1:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"authorization_pending"}`)
		default:
			is.Equal(r.Form.Get("device_code"), "D")
			_, _ = io.WriteString(w, `{"access_token":"A","refresh_token":"R","token_type":"Bearer"}`)
		}
	}))
	defer web.Close()
	path := clientFile(t, web)
	var shown []string
	is.NoErr(Login(context.Background(), Providers[0], path, func(s string) { shown = append(shown, s) }, nil))
	is.Equal(shown, []string{"Open https://x.example and enter the code ABCD"})
	settings, err := Load(path)
	is.NoErr(err)
	is.Equal(settings.RefreshToken, "R")
	is.Equal(settings.ClientSecret, "hush")
}

// browser is a token server that redirects the browser back with a code.
func browser(is *is.I) *httptest.Server {
	var challenge string
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if r.URL.Path == "/auth" {
			is.Equal(r.Form.Get("code_challenge_method"), "S256")
			is.Equal(r.Form.Get("access_type"), "offline")
			challenge = r.Form.Get("code_challenge")
			back := r.Form.Get("redirect_uri") + "/?code=C&state=" + url.QueryEscape(r.Form.Get("state"))
			http.Redirect(w, r, back, http.StatusFound)
			return
		}
		sum := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
		is.Equal(base64.RawURLEncoding.EncodeToString(sum[:]), challenge)
		is.Equal(r.Form.Get("code"), "C")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"A","refresh_token":"R","token_type":"Bearer"}`)
	}))
}

func TestLoginInABrowser(t *testing.T) {
	is := is.New(t)
	web := browser(is)
	defer web.Close()
	path := clientFile(t, web)
	show := func(text string) {
		if page, ok := strings.CutPrefix(text, "Open "); ok {
			go func() {
				if answer, err := http.Get(page); err == nil { // the client follows the redirect
					answer.Body.Close()
				}
			}()
		}
	}
	is.NoErr(Login(context.Background(), Providers[1], path, show, nil))
	settings, err := Load(path)
	is.NoErr(err)
	is.Equal(settings.RefreshToken, "R")
	is.Equal(settings.Scope, "https://mail.google.com/")
}

// The user pastes the address of the page that a browser on another host could not reach.
func TestLoginWithAPastedAddress(t *testing.T) {
	is := is.New(t)
	web := browser(is)
	defer web.Close()
	path := clientFile(t, web)
	pages := make(chan string, 2)
	pasted := func() (string, error) {
		other := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		answer, err := other.Get(strings.TrimPrefix(<-pages, "Open "))
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		return answer.Header.Get("Location") + "\n", nil
	}
	is.NoErr(Login(context.Background(), Providers[1], path, func(s string) { pages <- s }, pasted))
	settings, err := Load(path)
	is.NoErr(err)
	is.Equal(settings.RefreshToken, "R")
}
