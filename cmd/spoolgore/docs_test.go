package main

import (
	"os"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// CONTRIBUTING.md lists every package.
func TestContributingNamesEveryPackage(t *testing.T) {
	is := is.New(t)
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	is.NoErr(err)
	for _, dir := range []string{"internal", "cmd"} {
		packages, err := os.ReadDir("../../" + dir)
		is.NoErr(err)
		for _, p := range packages {
			if name := dir + "/" + p.Name(); !strings.Contains(string(text), "`"+name+"`") && !strings.Contains(string(text), "`"+name+"/") {
				t.Errorf("CONTRIBUTING.md does not say what %s is for", name)
			}
		}
	}
}
