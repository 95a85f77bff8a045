//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// A scenario is a load, a relay, and a measurement.
type scenario struct {
	name  string
	title string
	load  load
	sink  []string // arguments of the sink
	tls   bool     // from the first byte
	disk  bool     // the queue is on a disk
	peers string
	most  map[string]float64 // limits of columns: the command fails if a median is above
	least map[string]float64 // likewise, below
	run   func(s *scenario, c *config, e *env, relay *sinkProc, p peer) (result, error)
}

const (
	noPipelining = "8BITMIME,SMTPUTF8,DSN,ENHANCEDSTATUSCODES,SIZE 104857600"
	noChunking   = "PIPELINING," + noPipelining
)

// scenarios returns all scenarios, in the order of execution.
func scenarios() []scenario {
	return slices.Concat(floods(), slow(), large(), others(), operations(), troubles())
}

// others returns the scenarios about memory, idle time, submission and mixed mail.
func others() []scenario {
	return []scenario{
		{
			name: "held", title: "1,000 transactions held open, one a connection, the relay takes 4 s over each " +
				"message", load: load{1000, 4 << 10},
			run: hold, sink: []string{"-data-delay", "4s", "-ext", noPipelining},
			peers: "spoolgore:1000,postfix:1000,dma",
		},
		{
			name: "held-big", title: "1,000 transactions of 1 MiB held open (large ones take three connections in " +
				"four at most)", load: load{1000, 1 << 20},
			run: hold, sink: []string{"-data-delay", "8s", "-ext", noPipelining}, peers: "spoolgore:1340",
		},
		{
			name: "held-tls", title: "1,000 transactions held open over TLS", load: load{1000, 4 << 10}, tls: true,
			run: hold, sink: []string{"-data-delay", "8s", "-ext", noPipelining}, peers: "spoolgore:1000",
		},
		{
			name: "idle", title: "200 messages, one at a time, nothing else to do, relay at 0 ms",
			load: load{200, 4 << 10},
			run:  idle, peers: "spoolgore,postfix,nullmailer",
		},
		{
			name: "rename", title: "the same: the time from a rename into the spool to the acceptance",
			load: load{200, 4 << 10}, run: idle, peers: "spoolgore",
			most: map[string]float64{"p50 ms": 1},
		},
		{
			name: "rest", title: "100,000 messages deferred, none due: 30 s", load: load{100_000, 4 << 10},
			run: rest, peers: "spoolgore,postfix,nullmailer",
		},
		{
			name: "drop", title: "300 calls of sendmail with a message of 4 KiB, one after the other",
			load: load{300, 4 << 10},
			run:  drop, peers: "spoolgore,postfix,nullmailer",
		},
		{
			name: "burst", title: "400 messages of 4 KiB alone, and beside 400 refused ones of another sender, on " +
				"a disk",
			load: load{400, 4 << 10}, run: burst, sink: []string{"-reject", refusedUser},
			disk: true, peers: "spoolgore",
			most: map[string]float64{"times": 3, "slowest Health ms": 100},
		},
	}
}

// operations returns the scenarios about commands of an operator.
func operations() []scenario {
	return []scenario{
		{
			name: "controls", title: "commands of an operator, 200,000 messages deferred, none due",
			load: load{200_000, 300}, run: controls, peers: "spoolgore",
			most: map[string]float64{
				"list s": 3, "stats s": 3, "check s": 3, "list RSS MiB": 60, "stats RSS MiB": 60, "check RSS MiB": 60,
				"first line s": 3, "slowest Health ms": 100,
			},
		},
		{
			name: "controls-million", title: "the same, 1,000,000 messages",
			load: load{1_000_000, 300}, run: controls, peers: "spoolgore",
			most: map[string]float64{"slowest Health ms": 100},
		},
		{
			name: "crowd", title: "100,000 files renamed into an idle spool in one burst, and 100 of another sender " +
				"meanwhile, relay at 0 ms",
			load: load{100_000, 4 << 10}, run: crowd, peers: "spoolgore", least: map[string]float64{"of steady": 0.9},
			most: map[string]float64{"other: p99 ms": 100, "twice": 0},
		},
		{
			name: "restart", title: "start with 1,000,000 deferred messages, one in 1,000 due; 100 new ones meanwhile",
			load: load{1_000_000, 300}, run: restart(dueEach), peers: "spoolgore",
			most: map[string]float64{"first delivery s": 2, "peak RSS MiB": 450, "stop s": 20, "twice": 0},
		},
		{
			name: "restart-due", title: "the same, all due, until 20,000 of them are accepted",
			load: load{1_000_000, 300}, run: restart(1), peers: "spoolgore",
			most: map[string]float64{"first delivery s": 2, "peak RSS MiB": 450, "stop s": 20, "twice": 0},
		},
	}
}

func scenarioNames() string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return strings.Join(names, ",")
}

// findScenarios returns the scenarios called names; empty: all.
func findScenarios(names string) ([]scenario, error) {
	all := scenarios()
	if names == "" {
		return all, nil
	}
	var chosen []scenario
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("scenario %q: not one of %s", name, scenarioNames())
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// measure runs the scenario for each peer in turn, as often as configured, and prints the table. A peer that fails is
// reported and left out.
func (s *scenario) measure(c *config, out io.Writer) error {
	peers, err := findPeers(s.peers)
	if c.peers != "" {
		peers, err = findPeers(c.peers)
	}
	if err != nil {
		return err
	}
	if c.quick {
		s.load.n = max(20, s.load.n/10)
	}
	results := make(map[string][]result)
	for n := range c.runs {
		for _, p := range peers {
			r, err := c.measure(s, p)
			if err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				continue
			}
			fmt.Fprintf(os.Stderr, "%s, run %d, %s: %v\n", s.name, n+1, p.name, r)
			results[p.name] = append(results[p.name], r)
		}
	}
	if err := printTable(out, s.title, peers, results); err != nil {
		return err
	}
	return s.judge(results)
}

// judge returns an error for the medians that are outside of the limits of the scenario.
func (s *scenario) judge(results map[string][]result) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(results)) {
		for _, v := range medians(results[name]) {
			if most, ok := s.most[v.column]; ok && v.number > most {
				errs = append(errs, fmt.Errorf("%s, %s: %s %s, limit %g", s.name, name, v.column, v.text(), most))
			}
			if least, ok := s.least[v.column]; ok && v.number < least {
				errs = append(errs, fmt.Errorf("%s, %s: %s %s, at least %g", s.name, name, v.column, v.text(), least))
			}
		}
	}
	return errors.Join(errs...)
}
