package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/unbit/spoolgore/internal/collector"
)

// runCollector keeps the state file up to date until end is called, which removes the file. A signal makes the
// collector look again: a pause has no event.
func runCollector(p *collector.Collector, orders []os.Signal) (end func()) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	ordered := make(chan os.Signal, 1)
	if len(orders) > 0 { // none would mean all
		signal.Notify(ordered, orders...)
	}
	go func() {
		defer close(ended)
		p.Run(ctx)
	}()
	go func() {
		for {
			select {
			case <-ordered:
				p.Wake()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(ordered)
		stop()
		<-ended
	}
}
