//go:build !unix

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"

	"github.com/unbit/spoolgore"
)

// handleSignals calls stop at the first interrupt; the second one ends the process.
func handleSignals(_ *spoolgore.Spool, stop context.CancelFunc, log *slog.Logger) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt)
	go func() {
		<-ended
		log.Info("signal", "name", "interrupt", "action", "stop")
		signal.Stop(ended)
		stop()
	}()
}
