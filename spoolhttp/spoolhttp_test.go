package spoolhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/spoolhttp"
)

// accept is a Transport that accepts all mail except to later@.
var accept = spoolgore.TransportFunc(func(_ context.Context, t *spoolgore.Transaction) []spoolgore.Result {
	results := make([]spoolgore.Result, len(t.To))
	for i, to := range t.To {
		if strings.HasPrefix(to, "later@") {
			results[i].Err = io.ErrNoProgress
		}
	}
	return results
})

// begin runs a spool with its page below /mail/ until the end of the test.
func begin(t *testing.T, o spoolhttp.Options) (s *spoolgore.Spool, page *spoolhttp.Handler, url string) {
	t.Helper()
	is := is.New(t)
	log := slog.New(slog.DiscardHandler)
	s = spoolgore.New(t.TempDir(), spoolgore.Options{Transport: accept, Logger: log})
	o.Logger = log
	page, err := spoolhttp.New(s, o)
	is.NoErr(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 2)
	go func() { ended <- s.Run(ctx) }()
	go func() { page.Run(ctx); ended <- nil }()
	mux := http.NewServeMux()
	mux.Handle("/mail/", http.StripPrefix("/mail", page))
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		page.Close()
		cancel()
		is.NoErr(<-ended)
		is.NoErr(<-ended)
	})
	return s, page, server.URL + "/mail/"
}

// get returns the response to a request of the user ann, or of another user.
func get(t *testing.T, url, user string) (code int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User", user)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(all)
}

// eventually waits until f returns true.
func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for range 3000 {
		if f() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("not within a minute")
}

func isAnn(r *http.Request) bool { return r.Header.Get("User") == "ann" }

func TestHandlerUnderAPrefix(t *testing.T) {
	is := is.New(t)
	s, page, url := begin(t, spoolhttp.Options{Authorize: isAnn})
	is.NoErr(s.Send("app@example.com", []string{"later@example.org"}, []byte("Subject: hello\n\nx\n")))
	is.NoErr(s.Send("app@example.com", []string{"bob@example.org"}, []byte("Subject: hello\n\nx\n")))
	var status struct {
		Healthy bool
		Sent    int
		Queue   map[string]int
	}
	eventually(t, func() bool {
		_, text := get(t, url+"status", "ann")
		is.NoErr(json.Unmarshal([]byte(text), &status))
		return status.Sent == 1 && status.Queue["deferred"] == 1
	})
	is.True(status.Healthy)
	for _, path := range []string{"", "status", "messages?state=deferred", "metrics"} {
		code, _ := get(t, url+path, "ann")
		is.Equal(code, 200)
		code, _ = get(t, url+path, "mallory")
		is.Equal(code, 403)
	}
	code, text := get(t, url, "ann")
	is.Equal(code, 200)
	is.True(!strings.Contains(text, `ask("/`)) // paths are relative, for any prefix
	code, text = get(t, url+"healthz", "")
	is.Equal(code, 200)
	is.Equal(text, "ok\n")

	registry := prometheus.NewRegistry()
	is.NoErr(registry.Register(page.Collector()))
	all, err := registry.Gather()
	is.NoErr(err)
	values := make(map[string]float64)
	for _, family := range all {
		for _, m := range family.Metric {
			values[family.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	is.Equal(values["spoolgore_recipients_total"], 2.0) // one sent, one deferred
	is.Equal(values["spoolgore_queued_messages"], 1.0)
}

// A page of another site cannot act through the browser of an operator.
func TestHandlerRefusesOtherSites(t *testing.T) {
	is := is.New(t)
	_, _, url := begin(t, spoolhttp.Options{Authorize: isAnn})
	post := func(site string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"do", bytes.NewReader([]byte(`{"act": "flush"}`)))
		is.NoErr(err)
		req.Header.Set("User", "ann")
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Sec-Fetch-Site", site)
		resp, err := http.DefaultClient.Do(req)
		is.NoErr(err)
		is.NoErr(resp.Body.Close())
		return resp.StatusCode
	}
	is.Equal(post("cross-site"), 403)
	is.Equal(post("same-origin"), 200)
}

func TestHandlerWithAToken(t *testing.T) {
	is := is.New(t)
	_, _, url := begin(t, spoolhttp.Options{Token: "0123456789abcdef"})
	code, _ := get(t, url+"status", "ann")
	is.Equal(code, 401)
	code, _ = get(t, strings.Replace(url, "://", "://any:0123456789abcdef@", 1)+"status", "ann")
	is.Equal(code, 200)
}

// Without Token and Authorize, every client could read and delete the mail.
func TestHandlerNeedsAWayToKnowItsUsers(t *testing.T) {
	is := is.New(t)
	s := spoolgore.New(t.TempDir(), spoolgore.Options{Transport: accept})
	for _, o := range []spoolhttp.Options{{}, {Token: "short"}} {
		_, err := spoolhttp.New(s, o)
		is.True(err != nil)
	}
}

// The page goes by the names that the options of the spool call temporary.
func TestTemporaryNamesOfTheSpool(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	for _, name := range []string{"m.own", "m.tmp"} {
		is.NoErr(os.WriteFile(filepath.Join(dir, name), []byte("From: a@x\nTo: b@y\n\nx\n"), 0o600))
	}
	s := spoolgore.New(dir, spoolgore.Options{Transport: accept, TemporaryNames: []string{"*.own"}})
	page, err := spoolhttp.New(s, spoolhttp.Options{Authorize: isAnn})
	is.NoErr(err)
	defer page.Close()
	server := httptest.NewServer(page)
	defer server.Close()
	_, text := get(t, server.URL+"/messages?state=temporary", "ann")
	is.True(strings.Contains(text, "m.own"))
	is.True(!strings.Contains(text, "m.tmp"))
}
