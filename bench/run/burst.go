//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/unbit/spoolgore/bench/sink"
)

// refusedUser is the prefix of recipients that the relay refuses in burst.
const refusedUser = "refused"

// burst measures the time to send good messages, from the start of the daemon to the last acceptance: alone, and beside
// as many refused and reported messages of another sender. In a third round the spool runs inside a process that calls
// Health all the time.
func burst(s *scenario, c *config, e *env, relay *sinkProc, _ peer) (result, error) {
	alone, _, err := burstRound(s, c, e, relay, 0, false, spoolgoreRelease)
	if err != nil {
		return nil, err
	}
	beside, all, err := burstRound(s, c, e, relay, 1, true, spoolgoreRelease)
	if err != nil {
		return nil, err
	}
	report := filepath.Join(e.dir, "health")
	inside, _, err := burstRound(s, c, e, relay, 2, true, func(e *env) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		return e.start("", self, "host", e.relay, spool(e), report)
	})
	if err != nil {
		return nil, err
	}
	var h hostReport
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, err
	}
	if h.Calls == 0 {
		return nil, errors.New("Health was never called")
	}
	return result{
		{"messages", float64(s.load.n), 0},
		{"alone ms", ms(alone), 0},
		{"beside ms", ms(beside), 0},
		{"times", float64(beside) / float64(alone), 2},
		{"all reports ms", ms(all), 0},
		{"beside ms, Health called", ms(inside), 0},
		{"calls of Health", float64(h.Calls), 0},
		{"p99 Health ms", h.P99, 2},
		{"slowest Health ms", h.Slowest, 2},
	}, nil
}

func spoolgoreRelease(e *env) error { return spoolgoreStart(e, 0) }

// burstRound sends a load, numbered after the loads of earlier rounds. It returns the time until the last acceptance
// and, with refused messages, until the last report.
func burstRound(
	s *scenario, c *config, e *env, relay *sinkProc, round int, refused bool, release func(*env) error,
) (good, all time.Duration, err error) {
	if err := os.RemoveAll(spool(e)); err != nil {
		return 0, 0, err
	}
	var before sink.Summary
	if err := relay.ask("summary", &before); err != nil {
		return 0, 0, err
	}
	first := round * s.load.n
	if err := burstFiles(e, s.load, first, refused); err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := release(e); err != nil {
		return 0, 0, err
	}
	if _, err := relay.await(c.limit, first+s.load.n); err != nil {
		return 0, 0, err
	}
	if refused {
		if err := burstReports(c, relay, before.Unnumbered+int64(s.load.n)); err != nil {
			return 0, 0, err
		}
		all = time.Since(start)
	}
	var accepted []int64
	if err := relay.ask("times", &accepted); err != nil {
		return 0, 0, err
	}
	if _, _, err := e.end(); err != nil {
		return 0, 0, err
	}
	last := slices.Max(accepted[first : first+s.load.n])
	return time.Duration(last - start.UnixNano()), all, nil
}

// burstFiles writes the messages of a load, alternating by name with refused messages if wanted. Refused messages have
// no number, because a report shows their header.
func burstFiles(e *env, l load, first int, refused bool) error {
	if err := os.MkdirAll(spool(e), 0o755); err != nil {
		return err
	}
	for n := range l.n {
		name := filepath.Join(spool(e), fmt.Sprintf("%06d", n))
		if err := os.WriteFile(name+"-good.eml", l.message(first+n), 0o600); err != nil {
			return err
		}
		if !refused {
			continue
		}
		text := fmt.Sprintf("From: other@bench.test\nTo: %s%d@example.org\nMessage-ID: <no%d@bench.test>\n\n%s",
			refusedUser, n, n, textLine)
		if err := os.WriteFile(name+"-bad.eml", []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// burstReports waits until the relay has accepted so many messages without a number.
func burstReports(c *config, relay *sinkProc, n int64) error {
	for end := time.Now().Add(c.limit); ; time.Sleep(10 * time.Millisecond) {
		var sum sink.Summary
		if err := relay.ask("summary", &sum); err != nil {
			return err
		}
		if sum.Unnumbered >= n && sum.Held == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d reports came after %v, want %d", sum.Unnumbered, c.limit, n)
		}
	}
}
