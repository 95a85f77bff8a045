//go:build linux

package main

import (
	"fmt"
	"time"

	"github.com/unbit/spoolgore/bench/sink"
)

// restFor is how long a peer at rest is looked at.
const restFor = 30 * time.Second

// rest measures the usage of a peer with a long queue and no due message.
func rest(s *scenario, c *config, e *env, relay *sinkProc, p peer) (result, error) {
	if p.later == nil {
		return nil, fmt.Errorf("no way to have its messages wait")
	}
	start := time.Now()
	if err := p.later(e, s.load); err != nil {
		return nil, err
	}
	settled, err := settle(c, e)
	if err != nil {
		return nil, err
	}
	ready := time.Since(start)
	before := e.cell.restart()
	time.Sleep(restFor)
	after := e.cell.use()
	var sum sink.Summary
	if err := relay.ask("summary", &sum); err != nil {
		return nil, err
	}
	if _, _, err := e.end(); err != nil {
		return nil, err
	}
	return result{
		{"messages", float64(s.load.n), 0},
		{"CPU ms/s", 1e3 * (after.cpu - before).Seconds() / restFor.Seconds(), 2},
		{"PSS MiB", float64(after.pss) / mib, 1},
		{"RSS MiB", float64(after.rss) / mib, 1},
		{"processes", float64(after.processes), 0},
		{"bytes a message", float64(after.pss) / float64(s.load.n), 0},
		{"CPU s until at rest", settled.Seconds(), 1},
		{"s until at rest", ready.Seconds(), 1},
		{"connections", float64(sum.Connections), 0},
	}, nil
}

// settle waits until the peer uses almost no CPU time for some seconds, and returns the usage until then.
func settle(c *config, e *env) (time.Duration, error) {
	const quiet = 5 * time.Second
	last := e.cell.use().cpu
	for end := time.Now().Add(c.limit); time.Now().Before(end); {
		time.Sleep(quiet)
		now := e.cell.use().cpu
		if now > 0 && now-last < quiet/50 {
			return now, nil
		}
		last = now
	}
	return 0, fmt.Errorf("not at rest after %v", c.limit)
}
