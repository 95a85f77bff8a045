// Package known supports tests of known faults. A fault that is not fixed yet is listed by name in list.txt and has a
// test that shows the fault. The package is for tests only.
//
// A fix removes the line of the fault and keeps the test against a relapse. A forgotten line is found: a listed fault
// that does not occur fails its test.
package known

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

//go:embed list.txt
var text string

// An Entry is a line of the list.
type Entry struct {
	Name  string // a number and, after a slash, the variant, such as "F5/renamed"
	Issue string // the issue that fixes the fault, such as "4/14"
	About string // description in one line
}

// A Scenario tries to show a fault. It returns an error that describes the damage if the fault occurs, and nil if the
// program works correctly. Any other problem, such as a file that cannot be created, fails t.
type Scenario func(t *testing.T) error

// List returns the listed faults in the order of the file. The error names the first malformed line.
func List() ([]Entry, error) { return parse(text) }

// parse reads a list: fields between tabs, no name twice. Empty lines and lines that begin with # are ignored.
func parse(text string) (list []Entry, err error) {
	names := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Split(line, "\t")
		switch {
		case len(fields) != 3 || fields[0] == "" || fields[1] == "" || fields[2] == "":
			return nil, fmt.Errorf("list.txt: not NAME, ISSUE and DESCRIPTION with tabs between them: %q", line)
		case names[fields[0]]:
			return nil, fmt.Errorf("list.txt: %s is listed twice", fields[0])
		}
		names[fields[0]] = true
		list = append(list, Entry{fields[0], fields[1], fields[2]})
	}
	return list, nil
}

// Listed reports whether the fault is listed as known.
func Listed(name string) bool {
	list, _ := List() // TestList checks the file
	for _, e := range list {
		if e.Name == name {
			return true
		}
	}
	return false
}

// Fault runs the scenario of a fault. The test passes if the fault is listed and occurs, or is not listed and does not
// occur. The test fails if only one of the two is true. The damage is logged.
//
// The name must be a literal: TestEachFaultHasATest looks for the name in the source.
func Fault(t *testing.T, name string, show Scenario) {
	t.Helper()
	seen := show(t)
	if t.Failed() || t.Skipped() {
		return
	}
	fail, say := judge(name, Listed(name), seen)
	if fail {
		t.Error(say)
	} else if say != "" {
		t.Log(say)
	}
}

// judge returns the text for the test log, and whether the test fails.
func judge(name string, listed bool, seen error) (fail bool, say string) {
	switch {
	case listed && seen != nil:
		return false, fmt.Sprintf("known fault %s: %v", name, seen)
	case listed:
		return true, fmt.Sprintf("fault %s is listed as known but was not seen: take it off internal/known/list.txt",
			name)
	case seen != nil:
		return true, fmt.Sprintf("fault %s: %v", name, seen)
	}
	return false, ""
}

// Bubble returns a scenario that runs show in a bubble of testing/synctest.
func Bubble(show Scenario) Scenario {
	return func(t *testing.T) (seen error) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) { seen = show(t) })
		return seen
	}
}
