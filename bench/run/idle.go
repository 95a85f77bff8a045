//go:build linux

package main

import (
	"errors"
	"slices"
	"time"
)

// idle measures the time of a message in an empty queue: from the rename of its file into the spool or, if a command
// submits the message, from the end of the command and also from its start.
func idle(s *scenario, c *config, e *env, relay *sinkProc, p peer) (result, error) {
	if p.submit == nil {
		return nil, errors.New("no way to submit a message to it")
	}
	if err := p.fill(e, load{}); err != nil {
		return nil, err
	}
	if err := p.release(e); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second)
	begun, handed := make([]int64, s.load.n), make([]int64, s.load.n)
	for n := range s.load.n {
		begun[n] = time.Now().UnixNano()
		if err := p.submit(e, s.load, n); err != nil {
			return nil, err
		}
		handed[n] = time.Now().UnixNano()
		if _, err := relay.await(c.limit, n+1); err != nil {
			return nil, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, _, err := e.end(); err != nil {
		return nil, err
	}
	var accepted []int64
	if err := relay.ask("times", &accepted); err != nil {
		return nil, err
	}
	whole, behind := spans(begun, accepted), spans(handed, accepted)
	return result{
		{"messages", float64(s.load.n), 0},
		{"p50 ms", whole[len(whole)/2], 2},
		{"p99 ms", whole[len(whole)*99/100], 2},
		{"p50 ms behind submission", behind[len(behind)/2], 2},
		{"p99 ms behind submission", behind[len(behind)*99/100], 2},
	}, nil
}

// spans returns the times from from to to in milliseconds, sorted.
func spans(from, to []int64) []float64 {
	var ms []float64
	for n, t := range from {
		ms = append(ms, float64(to[n]-t)/1e6)
	}
	slices.Sort(ms)
	return ms
}
