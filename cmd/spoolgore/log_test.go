package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// TestTheDocsHaveEveryLineOfTheLog looks in the source for what the daemon logs, and for it in docs/monitoring.md.
func TestTheDocsHaveEveryLineOfTheLog(t *testing.T) {
	is := is.New(t)
	docs, err := os.ReadFile("../../docs/monitoring.md")
	is.NoErr(err)
	call := regexp.MustCompile(`(?i)\blog(?:ger)?\.(?:Debug|Info|Warn|Error)\("([^"]+)"`)
	seen := 0
	for _, pattern := range []string{"*.go", "../../*.go", "../../internal/*/*.go"} {
		files, err := filepath.Glob(pattern)
		is.NoErr(err)
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			is.NoErr(err)
			for _, m := range call.FindAllSubmatch(text, -1) {
				if seen++; !strings.Contains(string(docs), "`"+string(m[1])+"`") {
					t.Errorf("%s: %q is not told of", path, m[1])
				}
			}
		}
	}
	is.True(seen > 40) // the source was found
}
