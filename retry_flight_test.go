package spoolgore

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// TestRetryInFlight calls Retry while a Transport has the message and has not read it. Retry does not wait for the
// Transport, and no recipient gets the message twice.
func TestRetryInFlight(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		first    []error // outcomes of the recipients in the first transaction
		reads    bool    // the Transport reads the content after the calls of Retry
		attempts int32
		accepted map[string]int
	}{
		"accepted":          {[]error{nil, nil}, false, 1, map[string]int{"b@example.org": 1, "c@example.org": 1}},
		"accepted and read": {[]error{nil, nil}, true, 1, map[string]int{"b@example.org": 1, "c@example.org": 1}},
		"deferred":          {[]error{errLater, errLater}, false, 2, map[string]int{"b@example.org": 1, "c@example.org": 1}},
		"accepted by one":   {[]error{nil, errLater}, false, 2, map[string]int{"b@example.org": 1, "c@example.org": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, goOn := t.TempDir(), make(chan struct{})
				var attempts atomic.Int32
				accepted := map[string]int{} // acceptances by recipient; there is one transaction at a time
				relay := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
					results := make([]Result, len(tx.To))
					if attempts.Add(1) == 1 {
						<-goOn
						for i, err := range row.first {
							results[i].Err = err
						}
					}
					if row.reads {
						_, err := io.Copy(io.Discard, tx.Content())
						is.NoErr(err)
					}
					for i, r := range results {
						if r.Err == nil {
							accepted[tx.To[i]]++
						}
					}
					return results
				})
				drop(t, dir, "m", "From: a@example.com\nTo: b@example.org, c@example.org\nSubject: x\n\nhello\n")
				s, stop := start(t, dir, Options{Transport: relay})
				pass(time.Second)
				is.Equal(attempts.Load(), int32(1))
				for range 3 {
					began := time.Now()
					is.NoErr(s.Retry(PlaceSpool, "m"))
					is.True(time.Since(began) < time.Second) // Retry did not wait for the Transport
					pass(time.Minute)
				}
				close(goOn)
				pass(time.Hour)
				stop()
				is.Equal(accepted, row.accepted)
				is.Equal(attempts.Load(), row.attempts)
				for _, place := range []string{"m", "failed/m", "hold/m"} {
					_, err := os.Lstat(filepath.Join(dir, place))
					is.True(errors.Is(err, os.ErrNotExist)) // the message was delivered and removed
				}
			})
		})
	}
}
