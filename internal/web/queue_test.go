package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/qshape"
)

// fakeQueue is a Queue with the totals of a test.
type fakeQueue struct {
	Queue
	totals Totals
}

func (fakeQueue) Path() string { return "fleet" }

func (q fakeQueue) For(context.Context) Queue { return q }

func (q fakeQueue) Totals(_ int, now time.Time) (Totals, error) {
	q.totals.Counts = qshape.New(now)
	return q.totals, nil
}

// TestEstimatesOfAQueueAreSaidToBeSo checks /status.
func TestEstimatesOfAQueueAreSaidToBeSo(t *testing.T) {
	is := is.New(t)
	for _, estimated := range []bool{false, true} {
		q := fakeQueue{totals: Totals{Domains: []qshape.Shape{{Name: "example.org", Total: 3300}}, Estimated: estimated}}
		s, err := New(Options{Token: "0123456789abcdef", Collector: &fakePulse{last: well()}, Queue: q, Log: slog.Default()})
		is.NoErr(err)
		w := httptest.NewRecorder()
		s.status(w, httptest.NewRequest("GET", "/status", nil))
		var got status
		is.NoErr(json.Unmarshal(w.Body.Bytes(), &got))
		is.Equal(got.Domains, []group{{"example.org", 3300}})
		is.Equal(got.Estimated, estimated)
	}
}
