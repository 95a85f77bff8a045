//go:build linux

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/unbit/spoolgore"
)

// hostReport has the times of calls of Health, in milliseconds.
type hostReport struct {
	Calls        int
	P99, Slowest float64
}

// runHost runs the spool in dir inside this process until SIGTERM, and calls Health every millisecond. It writes the
// times to the file report.
func runHost(relay, dir, report string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s := spoolgore.New(dir, spoolgore.Options{
		SMTPAddr: relay, LocalName: "bench.test", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var took []float64
	for ctx.Err() == nil {
		begun := time.Now()
		if s.Health().Running {
			took = append(took, ms(time.Since(begun)))
		}
		time.Sleep(time.Millisecond)
	}
	if err := <-ended; err != nil {
		return err
	}
	r := hostReport{Calls: len(took)}
	if r.Calls > 0 {
		slices.Sort(took)
		r.P99, r.Slowest = took[r.Calls*99/100], took[r.Calls-1]
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(report, text, 0o600)
}
