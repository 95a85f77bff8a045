package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/unbit/spoolgore"
)

func TestReportOncePerDay(t *testing.T) {
	down, sent := true, 0
	spool := spoolgore.New(t.TempDir(), spoolgore.Options{
		Logger: slog.New(slog.DiscardHandler), Trace: 100,
		Transport: spoolgore.TransportFunc(func(_ context.Context, tx *spoolgore.Transaction) []spoolgore.Result {
			if down {
				err := &spoolgore.DeliveryError{Fault: spoolgore.FaultRelay, Err: errors.New("no route to host")}
				return []spoolgore.Result{{Err: err}}
			}
			sent++
			return make([]spoolgore.Result, len(tx.To))
		}),
	})
	if err := run(t.Context(), spool, "root@example.com"); err == nil {
		t.Error("no relay, and no error")
	}
	down = false
	for range 3 {
		if err := run(t.Context(), spool, "root@example.com"); err != nil {
			t.Error(err)
		}
	}
	if sent > 2 || sent == 0 { // two only if midnight has passed
		t.Errorf("sent %d reports", sent)
	}
}
