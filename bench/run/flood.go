//go:build linux

package main

import (
	"math"
	"time"

	"github.com/unbit/spoolgore/bench/sink"
)

const mib = 1 << 20

// flood measures how a peer empties a full queue.
func flood(s *scenario, c *config, e *env, relay *sinkProc, p peer) (result, error) {
	l := s.load
	if p.slow > 0 {
		l.n = min(l.n, max(10, l.n/p.slow))
	}
	if err := p.fill(e, l); err != nil {
		return nil, err
	}
	var before time.Duration
	if e.cell != nil { // the peer runs since it accepted the messages
		before = e.cell.restart()
	}
	start, relayBefore := time.Now(), relay.cpu()
	if err := p.release(e); err != nil {
		return nil, err
	}
	if _, err := relay.await(c.limit, l.n); err != nil {
		return nil, err
	}
	relayCPU := relay.cpu() - relayBefore
	cpu, peak, err := e.end()
	if err != nil {
		return nil, err
	}
	var sum sink.Summary
	if err := relay.ask("summary", &sum); err != nil {
		return nil, err
	}
	if p.unwaited {
		return floodResult(l.n, start, sum, peak, -1, relayCPU), nil
	}
	return floodResult(l.n, start, sum, peak, cpu-before, relayCPU), nil
}

// floodResult returns the figures of a flood of n messages. A negative CPU time of the peer is unknown.
func floodResult(n int, start time.Time, sum sink.Summary, peak usage, cpu, relayCPU time.Duration) result {
	count := float64(n)
	each := func(cpu time.Duration) float64 { return 1e3 * cpu.Seconds() / count }
	own := each(cpu)
	if cpu < 0 {
		own = math.NaN()
	}
	fromStart := time.Duration(sum.LastAnswer - start.UnixNano()).Seconds()
	fromFirst := time.Duration(sum.LastAnswer - sum.FirstConn).Seconds()
	return result{
		{"messages", count, 0},
		{"seconds", fromStart, 2},
		{"messages/s", count / fromStart, 0},
		{"from first connection", count / fromFirst, 0},
		{"MB/s", float64(sum.Bytes) / 1e6 / fromStart, 0},
		{"CPU ms/message", own, 3},
		{"PSS MiB", float64(peak.pss) / mib, 1},
		{"RSS MiB", float64(peak.rss) / mib, 1},
		{"processes", float64(peak.processes), 0},
		{"connections", float64(sum.Connections), 0},
		{"at once", float64(sum.OpenPeak), 0},
		{"round trips/message", float64(sum.RoundTrips) / count, 2},
		{"twice", float64(sum.Duplicates), 0},
		{"bad commands", float64(sum.BadCommands), 0},
		{"relay CPU ms/message", each(relayCPU), 3},
	}
}
