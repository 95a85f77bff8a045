//go:build unix

package history

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// Number of operations of a history.
const (
	operationsEach  = 40
	operationsShort = 25 // in a short run
)

// long reports whether SPOOLGORE_LAB asks for a long run.
func long() bool { return os.Getenv("SPOOLGORE_LAB") == "long" }

// seeds returns the seeds of the run, or the seed in SPOOLGORE_LAB_SEED.
func seeds(t *testing.T, n int) (list []uint64) {
	if text := os.Getenv("SPOOLGORE_LAB_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SPOOLGORE_LAB_SEED: %v", err)
		}
		return []uint64{seed}
	}
	first := uint64(1) // a short run has the same operations each time
	if long() {
		first = uint64(time.Now().UnixNano()/1e3) % 1e9
	}
	for i := range n {
		list = append(list, first+uint64(i))
	}
	return list
}

// TestHistories plays random histories and checks the invariants at the end of each.
func TestHistories(t *testing.T) {
	t.Parallel()
	n, operations := 4, operationsShort
	if raced {
		n = 3
	}
	if long() {
		n, operations = 200, operationsEach
	}
	list := seeds(t, n)
	t.Logf("seeds %d to %d; SPOOLGORE_LAB_SEED repeats one", list[0], list[len(list)-1])
	for _, seed := range list {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, seed)
			defer h.explain()
			h.play(operations)
		})
	}
}

// explain fails the test with the report if an invariant is broken.
func (h *history) explain() {
	if len(h.findings) > 0 {
		h.t.Errorf("\n%s", h.report())
	} else if h.t.Failed() {
		h.t.Logf("\n%s", h.report())
	}
}
