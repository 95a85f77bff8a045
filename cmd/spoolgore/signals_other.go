//go:build !unix

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"

	"github.com/unbit/spoolgore"
)

// prepareSignals has nothing to prepare, and there are no signals to obey.
func prepareSignals(*slog.Logger) (orders []os.Signal) { return nil }

// handleSignals calls stop at the first interrupt; the second one ends the process.
func handleSignals(_ *spoolgore.Spool, stop context.CancelFunc, _ []os.Signal, log *slog.Logger) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt)
	go func() {
		<-ended
		log.Info("signal", "name", "interrupt", "action", "stop")
		signal.Stop(ended)
		stop()
	}()
}
