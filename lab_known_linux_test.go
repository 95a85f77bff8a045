package spoolgore

import (
	"fmt"
	"slices"
	"testing"

	"github.com/unbit/spoolgore/internal/known"
)

// The seeds below find the faults that the laboratory is built for. They stay as they are while the fault is listed as
// known; when it is fixed they are ordinary seeds that must find nothing.
func TestLabFindsKnownFaults(t *testing.T) {
	t.Parallel()
	for fault, seeds := range map[string][]uint64{
		"F1/copy-in-tmp":        {64, 208, 222},
		"F3":                    {623, 1083},
		"F8/linked-without-why": {28, 48, 126, 165},
		"N1":                    {37, 337, 425},
	} {
		t.Run("errors/"+fault, func(t *testing.T) {
			var found []string
			for _, seed := range seeds {
				problems, story := runErrors(t, seed)
				faults, others := faultsOf(problems)
				if len(others) > 0 {
					t.Errorf("SPOOLGORE_LAB_SEED=%d: %v\n%s", seed, others, story)
				}
				found = append(found, faults...)
			}
			if known.Listed(fault) != slices.Contains(found, fault) {
				t.Errorf("listed as known: %v, but seeds %v found %v", known.Listed(fault), seeds, found)
			}
		})
	}
	t.Run("power cuts/F1", func(t *testing.T) {
		r := recordLab(t, 1)
		var found []string
		for n := range 25 {
			state, problems := r.cutAndStart(t, n)
			faults, others := faultsOf(problems)
			if len(others) > 0 {
				t.Errorf("SPOOLGORE_LAB_SEED=1, state %d: %v\n%v", n, others, state)
			}
			found = append(found, faults...)
		}
		if fault := "F1/copy-in-tmp"; known.Listed(fault) != slices.Contains(found, fault) {
			t.Errorf("listed as known: %v, but found %v", known.Listed(fault), found)
		}
	})
}

// A message is linked into failed/, the link cannot be taken back, and the message is given up under a second name.
func TestMessageIsGivenUpUnderOneName(t *testing.T) {
	t.Parallel()
	known.Fault(t, "N1", func(t *testing.T) error {
		problems, _ := runErrors(t, 37)
		if found, _ := faultsOf(problems); slices.Contains(found, "N1") {
			return fmt.Errorf("%v", problems)
		}
		return nil
	})
}
