//go:build unix

package history

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// How many operations a history has.
const operationsEach = 40

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
	n := 6
	switch mode() {
	case long:
		n = 200
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
			h.play(operationsEach)
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

// suspects are the known faults whose operations were applied to the messages of the findings.
func (h *history) suspects() string {
	all := map[string]bool{}
	for _, f := range h.findings {
		if f.mail == nil || len(f.mail.faults) == 0 {
			all["none"] = true
			continue
		}
		for name := range f.mail.faults {
			all[name] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}

// TestFindings plays histories with all operations, and tells what it finds.
func TestFindings(t *testing.T) {
	if mode() != find {
		t.Skip("SPOOLGORE_LAB=find asks for it")
	}
	for _, seed := range seeds(t, 100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, seed, everything())
			h.play(operationsEach)
			if len(h.findings) == 0 {
				return
			}
			t.Logf("seed %d finds something; operations of known faults on those messages: %s", seed, h.suspects())
			t.Logf("\n%s", h.report())
		})
	}
}
