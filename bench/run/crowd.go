//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/unbit/spoolgore/bench/sink"
)

// crowd measures a burst of files into an idle spool, and messages of another sender that come meanwhile.
func crowd(s *scenario, c *config, e *env, relay *sinkProc, _ peer) (result, error) {
	tmp := filepath.Join(spool(e), "tmp")
	if err := s.load.write(tmp, 0o600, strconv.Itoa, ""); err != nil {
		return nil, err
	}
	if err := spoolgoreStart(e, 0); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second)
	start := time.Now()
	for n := range s.load.n {
		if err := os.Rename(filepath.Join(tmp, strconv.Itoa(n)), filepath.Join(spool(e), strconv.Itoa(n))); err != nil {
			return nil, err
		}
	}
	renamed := time.Since(start)
	began, err := dropNews(e, s.load, "other@bench.test", 20*time.Millisecond)
	if err != nil {
		return nil, err
	}
	if _, err := relay.await(c.limit, s.load.n+restartNews); err != nil {
		return nil, err
	}
	cpu, peak, err := e.end()
	if err != nil {
		return nil, err
	}
	var sum sink.Summary
	if err := relay.ask("summary", &sum); err != nil {
		return nil, err
	}
	var accepted []int64
	if err := relay.ask("times", &accepted); err != nil {
		return nil, err
	}
	times := crowdTimes(s.load.n, start, began, accepted)
	return append(result{{"messages", float64(s.load.n), 0}, {"renames s", renamed.Seconds(), 2}}, append(times,
		result{
			{"CPU ms/message", 1e3 * cpu.Seconds() / float64(s.load.n), 3},
			{"PSS MiB", float64(peak.pss) / mib, 1},
			{"twice", float64(sum.Duplicates), 0},
		}...)...), nil
}

// crowdTimes returns the figures of the times of acceptance: of n messages since start, and of the others since began.
func crowdTimes(n int, start time.Time, began, accepted []int64) result {
	others := spans(began, accepted[n:n+restartNews])
	all := slices.Sorted(slices.Values(accepted[:n]))
	steady := float64(n) * 0.8 / time.Duration(all[n*9/10]-all[n/10]).Seconds()
	rate := float64(n) / time.Duration(all[n-1]-start.UnixNano()).Seconds()
	return result{
		{"messages/s", rate, 0},
		{"steady messages/s", steady, 0},
		{"of steady", rate / steady, 2},
		{"other: p50 ms", others[len(others)/2], 1},
		{"other: p99 ms", others[len(others)*99/100], 1},
	}
}
