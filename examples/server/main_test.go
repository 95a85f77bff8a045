package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/spooltest"
)

// post sends a request to the handler and returns the status code.
func post(h http.Handler, to, key string) (code int) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(url.Values{"to": {to}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// The handler in virtual time: a greylisted invitation arrives an hour later, once.
func TestHandler(t *testing.T) {
	spooltest.Test(t, spoolgore.Options{Trace: 100}, func(t *testing.T, s *spooltest.Spool) {
		h := handler(s.Spool)
		s.Transport.Script("ann@example.org", spooltest.Later("greylisted"), nil)
		for _, tt := range []struct {
			to   string
			code int
		}{{"ann@example.org", 202}, {"ann@example.org", 202}, {"no address", 400}} {
			if code := post(h, tt.to, "k1"); code != tt.code {
				t.Errorf("%s: %d", tt.to, code)
			}
		}
		s.Advance(time.Hour)
		if sent := s.Transport.Sent(); len(sent) != 1 || sent[0].Header("Subject") != "Your invitation" {
			t.Errorf("%+v", sent)
		}
		if code := post(h, "ann@example.org", "k1"); code != 202 { // the ID counts after the delivery, too
			t.Error(code)
		}
		s.Disk.Full()
		if code := post(h, "bob@example.org", "k2"); code != 503 {
			t.Error(code)
		}
		s.Disk.Repair()
		s.Advance(time.Hour)
		if sent := s.Transport.Sent(); len(sent) != 1 {
			t.Errorf("%+v", sent)
		}
	})
}

// A request during the shutdown of the server gets a response, and its mail is on disk.
func TestShutdown(t *testing.T) {
	dir := t.TempDir()
	began, sent := make(chan bool), make(chan string, 10)
	spool := spoolgore.New(dir, spoolgore.Options{Transport: spoolgore.TransportFunc(
		func(_ context.Context, tx *spoolgore.Transaction) []spoolgore.Result {
			sent <- tx.To[0]
			return make([]spoolgore.Result, len(tx.To))
		})})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, spool) }()
	answer := make(chan int, 1)
	go func() {
		body := &slow{text: strings.NewReader("to=ann%40example.org"), began: began}
		req, err := http.NewRequest(http.MethodPost, "http://"+listener.Addr().String(), body)
		if err != nil {
			panic(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Expect", "100-continue") // the body is read when the handler asks for it
		client := http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour, DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			answer <- 0
			return
		}
		resp.Body.Close()
		answer <- resp.StatusCode
	}()
	<-began
	stop()
	if code := <-answer; code != http.StatusAccepted {
		t.Error(code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := spool.Drain(t.Context()); err != nil { // as the next process does
		t.Error(err)
	}
	if to := <-sent; to != "ann@example.org" {
		t.Error(to)
	}
}

// slow is the body of a request. It reports its first read.
type slow struct {
	text  io.Reader
	began chan bool
}

func (s *slow) Read(p []byte) (int, error) {
	if s.began != nil {
		close(s.began)
		s.began = nil
	}
	return s.text.Read(p[:min(len(p), 1)])
}
