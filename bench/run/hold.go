//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/unbit/spoolgore/bench/sink"
)

// hold measures the memory of a transaction in flight: the usage with the most transactions open, less the idle usage.
func hold(s *scenario, c *config, e *env, relay *sinkProc, p peer) (result, error) {
	idle, err := holdNothing(e, p)
	if err != nil {
		return nil, err
	}
	if err := p.fill(e, s.load); err != nil {
		return nil, err
	}
	if e.cell != nil {
		e.cell.restart()
	}
	if err := p.release(e); err != nil {
		return nil, err
	}
	held, most, err := holdMost(c, e, relay, int64(s.load.n))
	if err != nil {
		return nil, err
	}
	sum, err := relay.await(c.limit, s.load.n)
	if err != nil {
		return nil, err
	}
	_, peak, err := e.end()
	if err != nil {
		return nil, err
	}
	each := func(full, empty int64) float64 { return float64(full-empty) / 1024 / float64(max(1, held)) }
	return result{
		{"messages", float64(s.load.n), 0},
		{"held at once", float64(held), 0},
		{"seconds", time.Duration(sum.LastAnswer - sum.FirstConn).Seconds(), 2},
		{"PSS idle MiB", float64(idle.pss) / mib, 1},
		{"PSS then MiB", float64(most.pss) / mib, 1},
		{"KiB each", each(most.anon, idle.anon), 1},
		{"KiB each, PSS", each(most.pss, idle.pss), 1},
		{"peak PSS MiB", float64(peak.pss) / mib, 1},
		{"processes", float64(peak.processes), 0},
		{"connections", float64(sum.Connections), 0},
		{"twice", float64(sum.Duplicates), 0},
	}, nil
}

// holdNothing returns the usage with an empty queue, two seconds after the start; zero for a peer without a daemon.
func holdNothing(e *env, p peer) (usage, error) {
	if err := p.fill(e, load{}); err != nil {
		return usage{}, err
	}
	if err := p.release(e); err != nil {
		return usage{}, err
	}
	time.Sleep(2 * time.Second)
	u := e.cell.use()
	if _, _, err := e.end(); err != nil {
		return usage{}, err
	}
	if err := os.RemoveAll(e.dir); err != nil {
		return usage{}, err
	}
	return u, os.Mkdir(e.dir, 0o755)
}

// holdMost returns the largest number of transactions open at once, and the usage at the last look at that number. It
// returns after three quarters of n messages are accepted, when the number falls.
func holdMost(c *config, e *env, relay *sinkProc, n int64) (held int64, most usage, err error) {
	for end := time.Now().Add(c.limit); ; time.Sleep(20 * time.Millisecond) {
		var sum sink.Summary
		if err := relay.ask("summary", &sum); err != nil {
			return 0, usage{}, err
		}
		if sum.Held >= held {
			held, most = sum.Held, e.cell.use()
		}
		switch {
		case sum.Distinct-sum.Held > n-n/4:
			return held, most, nil
		case time.Now().After(end):
			return 0, usage{}, fmt.Errorf("not done after %v: %d messages came", c.limit, sum.Messages)
		}
	}
}
