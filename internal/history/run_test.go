//go:build unix

package history

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// How many operations a history has.
const (
	operationsEach  = 40
	operationsShort = 25 // in the short run
)

// What SPOOLGORE_LAB asks for.
const (
	long = "long" // many histories
	find = "find" // histories with all operations, known faults or not; they tell, and do not fail
)

// mode is what SPOOLGORE_LAB asks for; empty: the short run.
func mode() string { return os.Getenv("SPOOLGORE_LAB") }

// seeds returns so many seeds, or the one that SPOOLGORE_LAB_SEED asks for.
func seeds(t *testing.T, n int) (list []uint64) {
	if text := os.Getenv("SPOOLGORE_LAB_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SPOOLGORE_LAB_SEED: %v", err)
		}
		return []uint64{seed}
	}
	first := uint64(time.Now().UnixNano()/1e3) % 1e9
	for i := range n {
		list = append(list, first+uint64(i))
	}
	return list
}

// TestHistories plays random histories without the operations that meet known faults. Each has to end without a
// broken invariant.
func TestHistories(t *testing.T) {
	t.Parallel()
	n, operations := 4, operationsShort
	if raced {
		n = 3
	}
	switch mode() {
	case long:
		n, operations = 200, operationsEach
	case find:
		t.Skip("TestFindings plays the histories of this run")
	}
	list := seeds(t, n)
	t.Logf("seeds %d to %d; SPOOLGORE_LAB_SEED repeats one", list[0], list[len(list)-1])
	for _, seed := range list {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, seed, nil)
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

// suspects are the known faults whose operations were applied to the message of a finding, or to any if it is of none.
func (h *history) suspects(f finding) string {
	all := map[string]bool{}
	for _, m := range h.mails {
		if f.mail == nil || m == f.mail {
			maps.Copy(all, m.faults)
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}

// TestFindings plays histories with all operations, and tells what it finds.
func TestFindings(t *testing.T) {
	if mode() != find {
		t.Skip("SPOOLGORE_LAB=find asks for it")
	}
	var mu sync.Mutex
	counts := map[string][]string{} // by suspects: the seeds
	t.Run("histories", func(t *testing.T) {
		for _, seed := range seeds(t, 100) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				h := newHistory(t, seed, everything())
				h.play(operationsEach)
				if len(h.findings) == 0 {
					return
				}
				t.Logf("\n%s", h.report())
				mu.Lock()
				defer mu.Unlock()
				for _, f := range h.findings {
					by := h.suspects(f)
					if list := counts[by]; len(list) == 0 || list[len(list)-1] != fmt.Sprint(seed) {
						counts[by] = append(list, fmt.Sprint(seed))
					}
				}
			})
		}
	})
	for _, by := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("found with operations of %s: seeds %s", by, strings.Join(counts[by], " "))
	}
}
