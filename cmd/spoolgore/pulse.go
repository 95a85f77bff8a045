package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/unbit/spoolgore/internal/collector"
)

// takePulse keeps the file of the signs of life up to date until end is called, which takes it away. An order is a reason
// to look: of a pause no event tells.
func takePulse(p *collector.Pulse, orders []os.Signal) (end func()) {
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
				p.Nudge()
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
