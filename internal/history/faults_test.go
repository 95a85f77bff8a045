//go:build unix

package history

import "github.com/unbit/spoolgore/internal/known"

// A gate is a known fault, or a group of them, that switches operations off while it is listed.
type gate string

// The gates, and the names by which the faults are listed.
const (
	always    gate = ""   // no known fault
	holding   gate = "F2" // hold and release close together, release while the daemon starts
	renaming  gate = "F5 renamed"
	awaying   gate = "F5 moved away and back"
	heldOther gate = "F5 held under another name"
	failing   gate = "F1" // move back from failed/ right after giving up
	writing   gate = "F6" // a file that is written in pieces, or in place while it is sent
)

var names = map[gate][]string{
	failing:   {"F1/copy-in-tmp", "F1/killed-after-giving-up"},
	holding:   {"F2/running", "F2/starting"},
	renaming:  {"F5/renamed"},
	awaying:   {"F5/moved-away-and-back"},
	heldOther: {"F5/held-under-another-name"},
	writing:   {"F6/transport", "F6/smtp"},
}

// listed reports whether the gate is closed by default.
func (g gate) listed() bool {
	for _, name := range names[g] {
		if known.Listed(name) {
			return true
		}
	}
	return false
}

// opened are the gates that a run opens although their faults are listed.
type opened map[gate]bool

// everything opens all gates.
func everything() opened {
	all := opened{}
	for g := range names {
		all[g] = true
	}
	return all
}

// lets reports whether operations of the gate take place.
func (o opened) lets(g gate) bool { return g == always || o[g] || !g.listed() }
