//go:build !unix

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
)

// prepareSignals returns no signals: this system has none for the daemon.
func prepareSignals(*slog.Logger) (orders []os.Signal) { return nil }

// handleSignals calls stop at the first interrupt; the second one ends the process.
func handleSignals(s *service, stop context.CancelFunc, _ []os.Signal) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt)
	go func() {
		<-ended
		s.log.Info("signal", "name", "interrupt", "action", "stop")
		signal.Stop(ended)
		stop()
	}()
}
