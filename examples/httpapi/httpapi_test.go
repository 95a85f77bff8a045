package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/unbit/spoolgore"
)

// transaction returns a small transaction.
func transaction() *spoolgore.Transaction {
	return &spoolgore.Transaction{
		Envelope: spoolgore.Envelope{From: "app@example.com", To: []string{"ann@example.org", "bob@example.org"}},
		Name:     "m1", Content: func() io.Reader { return strings.NewReader("Subject: x\r\n\r\nx\r\n") },
	}
}

func TestResponses(t *testing.T) {
	for _, tt := range []struct {
		code       int
		retryAfter string
		fault      spoolgore.Fault
		permanent  bool
		wait       time.Duration
	}{
		{code: 202},
		{code: 429, retryAfter: "30", fault: spoolgore.FaultRelay, wait: 30 * time.Second},
		{code: 429, fault: spoolgore.FaultRelay},
		{code: 401, fault: spoolgore.FaultRelay},
		{code: 503, fault: spoolgore.FaultRelay},
		{code: 409, fault: spoolgore.FaultMessage},
		{code: 422, fault: spoolgore.FaultMessage, permanent: true},
	} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tt.retryAfter != "" {
				w.Header().Set("Retry-After", tt.retryAfter)
			}
			w.WriteHeader(tt.code)
		}))
		results := (&Transport{URL: api.URL}).Deliver(t.Context(), transaction())
		api.Close()
		if len(results) != 2 {
			t.Fatalf("%d: %d results", tt.code, len(results))
		}
		d := new(spoolgore.DeliveryError)
		if !errors.As(results[0].Err, &d) && tt.code != 202 || d.Fault != tt.fault || d.Permanent != tt.permanent || results[0].RetryAfter != tt.wait {
			t.Errorf("%d: %+v, %+v", tt.code, results[0], d)
		}
	}
}

// Without a response the provider may have accepted the message, unless there was no connection.
func TestLostResponse(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	tr := &Transport{URL: api.URL}
	uncertain := func() bool {
		d := new(spoolgore.DeliveryError)
		return errors.As(tr.Deliver(t.Context(), transaction())[0].Err, &d) && d.Uncertain
	}
	if !uncertain() {
		t.Error("the request was sent, but the result is certain")
	}
	api.Close()
	if uncertain() {
		t.Error("no connection, but the result is uncertain")
	}
}

func TestDelivery(t *testing.T) {
	var got request
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
	}))
	defer api.Close()
	spool := spoolgore.New(t.TempDir(), spoolgore.Options{Transport: &Transport{URL: api.URL}, Logger: slog.New(slog.DiscardHandler)})
	if err := spool.Send("app@example.com", []string{"ann@example.org"}, []byte("Subject: hello\n\nHello!\n")); err != nil {
		t.Fatal(err)
	}
	if err := spool.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got.From != "app@example.com" || !strings.Contains(string(got.Raw), "Subject: hello\r\n") {
		t.Errorf("%+v", got)
	}
}
