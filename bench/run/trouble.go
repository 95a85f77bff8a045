//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/unbit/spoolgore/bench/sink"
)

// troubles returns the scenarios with a relay that refuses good mail for a while.
func troubles() []scenario {
	return []scenario{
		{
			name: "throttled", title: "2,000 messages of 4 KiB, the relay takes 14 a second and answers others with " +
				"454", load: load{2000, 4 << 10}, run: throttled, peers: "spoolgore",
			most: map[string]float64{"times of ideal": 1.15, "% refused": 3},
		},
		{
			name: "greylist", title: "400 messages of 4 KiB alone, and beside 400 of another sender whose recipients " +
				"are greylisted", load: load{400, 4 << 10}, run: greylisted, peers: "spoolgore",
			most: map[string]float64{"times": 2},
		},
		{
			name: "poison", title: "20 messages of 4 KiB beside 40 of another user that get 451 after their content",
			load: load{20, 4 << 10}, run: poisoned, peers: "spoolgore",
			most: map[string]float64{"last s": 10},
		},
		{
			name: "goodbye", title: "2,000 messages of 4 KiB, relay at 50 ms; the relay ends each connection after " +
				"50 messages, and does not", load: load{2000, 4 << 10}, run: goodbye, peers: "spoolgore",
			most: map[string]float64{"times": 1 / 0.9},
		},
	}
}

// A round is what a relay saw of a queue, from the start of the daemon on.
type round struct {
	median, last time.Duration // until the acceptance of a message with a number
	summary      sink.Summary
}

// troubleRound sends the messages of a load with a relay of its own. others writes further files without numbers; nil:
// none.
func troubleRound(s *scenario, c *config, e *env, sinkArgs []string, others func(dir string) error) (round, error) {
	var r round
	relay, err := startSink(sinkArgs)
	if err != nil {
		return r, err
	}
	defer relay.end()
	e.relay = relay.addr
	if err := os.RemoveAll(spool(e)); err != nil {
		return r, err
	}
	if err := spoolFiles(e, s.load, ""); err != nil {
		return r, err
	}
	if others != nil {
		if err := others(spool(e)); err != nil {
			return r, err
		}
	}
	start := time.Now()
	if err := spoolgoreRelease(e); err != nil {
		return r, err
	}
	if r.summary, err = relay.await(c.limit, s.load.n); err != nil {
		return r, err
	}
	var accepted []int64
	if err := relay.ask("times", &accepted); err != nil {
		return r, err
	}
	accepted = accepted[:s.load.n]
	slices.Sort(accepted)
	r.median = time.Duration(accepted[len(accepted)/2] - start.UnixNano())
	r.last = time.Duration(accepted[len(accepted)-1] - start.UnixNano())
	_, _, err = e.end()
	return r, err
}

// otherFiles writes n messages of another sender to recipients that begin with prefix, named so that they come between
// the messages of a load.
func otherFiles(n int, prefix string) func(dir string) error {
	return func(dir string) error {
		old := time.Now().Add(-time.Minute) // complete at the start
		for i := range n {
			text := fmt.Sprintf("From: other@bench.test\nTo: %s%d@example.org\nMessage-ID: <no%d@bench.test>\n\n%s",
				prefix, i, i, textLine)
			name := filepath.Join(dir, fmt.Sprintf("%06d-other.eml", i))
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				return err
			}
			if err := os.Chtimes(name, old, old); err != nil {
				return err
			}
		}
		return nil
	}
}

// throttled measures how close a sender comes to the rate of a relay that names no rate.
func throttled(s *scenario, c *config, e *env, _ *sinkProc, _ peer) (result, error) {
	const perSecond = 14
	r, err := troubleRound(s, c, e, []string{"-per-second", fmt.Sprint(perSecond)}, nil)
	if err != nil {
		return nil, err
	}
	n := float64(s.load.n)
	ideal := n / perSecond
	return result{
		{"messages", n, 0},
		{"seconds", r.last.Seconds(), 1},
		{"ideal s", ideal, 1},
		{"times of ideal", r.last.Seconds() / ideal, 3},
		{"refused", float64(r.summary.Refused), 0},
		{"% refused", 100 * float64(r.summary.Refused) / n, 2},
		{"twice", float64(r.summary.Duplicates), 0},
	}, nil
}

// greylisted compares the median of good mail with and without greylisted mail of another sender.
func greylisted(s *scenario, c *config, e *env, _ *sinkProc, _ peer) (result, error) {
	args := []string{"-latency", "50ms", "-grey", "grey", "-grey-for", "5m"}
	alone, err := troubleRound(s, c, e, args, nil)
	if err != nil {
		return nil, err
	}
	beside, err := troubleRound(s, c, e, args, otherFiles(s.load.n, "grey"))
	if err != nil {
		return nil, err
	}
	return result{
		{"messages", float64(s.load.n), 0},
		{"alone, median ms", ms(alone.median), 0},
		{"beside, median ms", ms(beside.median), 0},
		{"times", float64(beside.median) / float64(alone.median), 2},
		{"alone, last ms", ms(alone.last), 0},
		{"beside, last ms", ms(beside.last), 0},
		{"refused", float64(beside.summary.Refused), 0},
	}, nil
}

// poisoned measures how long good mail takes beside messages of another user that the relay refuses for their content.
func poisoned(s *scenario, c *config, e *env, _ *sinkProc, _ peer) (result, error) {
	r, err := troubleRound(s, c, e, []string{"-poison", "poison"}, func(dir string) error {
		if err := otherFiles(40, "poison")(dir); err != nil {
			return err
		}
		if os.Getuid() != 0 {
			return nil
		}
		others, err := filepath.Glob(filepath.Join(dir, "*-other.eml"))
		for _, name := range others {
			if err := os.Chown(name, poisonUser, -1); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return result{
		{"messages", float64(s.load.n), 0},
		{"median ms", ms(r.median), 0},
		{"last s", r.last.Seconds(), 2},
		{"refused", float64(r.summary.Refused), 0},
	}, nil
}

// poisonUser owns the files of poisoned mail.
const poisonUser = 65533

// goodbye compares a relay that ends each connection after 50 messages with the same relay that does not.
func goodbye(s *scenario, c *config, e *env, _ *sinkProc, _ peer) (result, error) {
	args := []string{"-latency", "50ms"}
	free, err := troubleRound(s, c, e, args, nil)
	if err != nil {
		return nil, err
	}
	ended, err := troubleRound(s, c, e, append(args, "-per-connection", "50"), nil)
	if err != nil {
		return nil, err
	}
	n := float64(s.load.n)
	return result{
		{"messages", n, 0},
		{"without, messages/s", n / free.last.Seconds(), 0},
		{"with, messages/s", n / ended.last.Seconds(), 0},
		{"times", ended.last.Seconds() / free.last.Seconds(), 3},
		{"connections", float64(ended.summary.Connections), 0},
		{"twice", float64(ended.summary.Duplicates), 0},
	}, nil
}
