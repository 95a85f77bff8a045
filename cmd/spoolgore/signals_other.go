//go:build !unix

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// prepareSignals returns no signals: this system has none for the daemon.
func prepareSignals(*slog.Logger) (orders []os.Signal) { return nil }

// handleSignals calls stop at the first interrupt, or when the console is closed or the host shuts down, which Windows
// tells as SIGTERM. The second signal ends the process.
func handleSignals(s *service, stop context.CancelFunc, _ []os.Signal) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	go func() {
		s.log.Info("signal", "name", (<-ended).String(), "action", "stop")
		signal.Stop(ended)
		stop()
	}()
}
