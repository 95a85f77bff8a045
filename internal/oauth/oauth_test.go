package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/matryer/is"
)

var discard = slog.New(slog.DiscardHandler)

// A server is a fake token server. Each refresh token can be used once.
type server struct {
	mu       sync.Mutex
	refresh  string // the valid refresh token
	issued   int
	expires  int // expires_in of the response; zero: left out
	refuse   string
	requests []string // grant types
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = r.ParseForm()
	s.requests = append(s.requests, r.Form.Get("grant_type"))
	w.Header().Set("Content-Type", "application/json")
	user, secret, _ := r.BasicAuth()
	if user == "" {
		user, secret = r.Form.Get("client_id"), r.Form.Get("client_secret")
	}
	grant := r.Form.Get("grant_type")
	bad := s.refuse
	switch {
	case user != "app" || secret != "hush":
		bad = "invalid_client"
	case grant == "refresh_token" && r.Form.Get("refresh_token") != s.refresh:
		bad = "invalid_grant"
	}
	if bad != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":%q,"error_description":"no","secret":"hush"}`, bad)
		return
	}
	s.issued++
	answer := map[string]any{"access_token": fmt.Sprintf("token%d", s.issued), "token_type": "Bearer"}
	if s.expires != 0 {
		answer["expires_in"] = s.expires
	}
	if grant == "refresh_token" {
		s.refresh = fmt.Sprintf("refresh%d", s.issued)
		answer["refresh_token"] = s.refresh
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// fileFor writes a file of settings for the server. Lines are further fields.
func fileFor(t *testing.T, s *server, fields string) string {
	t.Helper()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	path := filepath.Join(t.TempDir(), "oauth.json")
	text := fmt.Sprintf(`{"token_url":%q,"client_id":"app",%s}`, web.URL, fields)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRefreshTokenIsKept(t *testing.T) {
	is := is.New(t)
	s := &server{refresh: "first", expires: 3600}
	path := fileFor(t, s, `"client_secret":"hush","scope":"a b","refresh_token":"first","auth_url":"https://x.example/"`)
	get := Source(path, discard)
	token, err := get(context.Background(), false)
	is.NoErr(err)
	is.Equal(token, "token1")
	token, err = get(context.Background(), false) // not expired
	is.NoErr(err)
	is.Equal(token, "token1")
	token, err = get(context.Background(), true) // refused by the relay
	is.NoErr(err)
	is.Equal(token, "token2")
	settings, err := Load(path)
	is.NoErr(err)
	is.Equal(settings.RefreshToken, "refresh2")
	is.Equal(settings.AuthURL, "https://x.example/")                // other fields of the file are kept
	token, err = Source(path, discard)(context.Background(), false) // after a restart
	is.NoErr(err)
	is.Equal(token, "token3")
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		is.NoErr(err)
		is.Equal(info.Mode().Perm(), os.FileMode(0o600))
	}
}

// A token that expires soon is renewed, and so is one that has expired by the clock of this host.
func TestTokenIsRenewedBeforeItsEnd(t *testing.T) {
	is := is.New(t)
	for _, expires := range []int{1, 30, -5} {
		get := Source(fileFor(t, &server{expires: expires}, `"client_secret":"hush"`), discard)
		_, err := get(context.Background(), false)
		is.NoErr(err)
		token, err := get(context.Background(), false)
		is.NoErr(err)
		is.Equal(token, "token2")
	}
}

func TestClientCredentials(t *testing.T) {
	is := is.New(t)
	s := &server{expires: 3600}
	path := fileFor(t, s, `"client_secret_file":"secret"`)
	is.NoErr(os.WriteFile(filepath.Join(filepath.Dir(path), "secret"), []byte("hush\n"), 0o600))
	token, err := Source(path, discard)(context.Background(), false)
	is.NoErr(err)
	is.Equal(token, "token1")
	is.Equal(s.requests, []string{"client_credentials"})
}

// Two daemons with one file: each refresh token is used once.
func TestProcessesTakeTurns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no lock on Windows; the test runs on Linux")
	}
	is := is.New(t)
	s := &server{refresh: "first", expires: 3600}
	path := fileFor(t, s, `"client_secret":"hush","refresh_token":"first"`)
	var all sync.WaitGroup
	for range 8 {
		get := Source(path, discard)
		all.Go(func() {
			if _, err := get(context.Background(), false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	is.Equal(s.issued, 8)
}

func TestErrorsShowNoSecret(t *testing.T) {
	is := is.New(t)
	_, err := Source(fileFor(t, &server{refuse: "unauthorized_client"}, `"client_secret":"hush"`), discard)(context.Background(), false)
	is.True(err != nil)
	is.True(strings.Contains(err.Error(), "unauthorized_client: no"))
	is.True(!strings.Contains(err.Error(), "hush"))
	for _, text := range []string{
		"", "{", `{"client_id":"hush"}`, `{"token_url":"hush"}`, `{"token_url":"x","client_id":"x","hush":1}`,
		`{"token_url":"x","client_id":"x","client_secret":"hush","client_secret_file":"x"}`, `["hush"`,
		`{"token_url":"x","client_id":"x","client_secret_file":"/no/such/file"}`,
	} {
		path := filepath.Join(t.TempDir(), "oauth.json")
		is.NoErr(os.WriteFile(path, []byte(text), 0o600))
		_, err := Source(path, discard)(context.Background(), false)
		is.True(err != nil)
		if !strings.Contains(text, `"hush":1`) { // a name in the file, not a value
			is.True(!strings.Contains(err.Error(), "hush"))
		}
	}
}

func TestSilentServer(t *testing.T) {
	is := is.New(t)
	asked := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(asked)
		<-r.Context().Done()
	}))
	defer web.Close()
	path := filepath.Join(t.TempDir(), "oauth.json")
	is.NoErr(os.WriteFile(path, []byte(`{"client_id":"app","token_url":"`+web.URL+`"}`), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	_, err := Source(path, discard)(ctx, false)
	is.True(err != nil)
}

// The relay gets mail as long as the process lives, although a new refresh token cannot be saved: a unit of systemd may
// not let the daemon write to the directory. A new login counts at once.
func TestRefreshTokenThatCannotBeSaved(t *testing.T) {
	is := is.New(t)
	s := &server{refresh: "first", expires: 3600}
	path := fileFor(t, s, `"client_secret":"hush","refresh_token":"first"`)
	var log bytes.Buffer
	from := &source{path: path, log: slog.New(slog.NewTextHandler(&log, nil))}
	from.save = func(string, map[string]string) error { return errors.New("read-only file system") }
	for _, want := range []string{"token1", "token2", "token3"} { // the server takes each refresh token once
		token, err := from.get(t.Context(), true)
		is.NoErr(err)
		is.Equal(token, want)
	}
	is.Equal(strings.Count(log.String(), "new refresh token cannot be saved"), 1)
	is.True(!strings.Contains(log.String(), "refresh3"))

	s.refresh = "second"
	is.NoErr(save(path, map[string]string{"refresh_token": "second"}))
	token, err := from.get(t.Context(), true)
	is.NoErr(err)
	is.Equal(token, "token4")

	from.save = save
	_, err = from.get(t.Context(), true)
	is.NoErr(err)
	token, err = Source(path, discard)(t.Context(), false) // after a restart
	is.NoErr(err)
	is.Equal(token, "token6")
}
