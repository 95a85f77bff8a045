package docrows

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testNames returns the names of all tests and fuzz tests of the module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && strings.HasPrefix(base, ".") && !strings.HasPrefix(base, "..") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, match := range declared.FindAllStringSubmatch(string(text), -1) {
			names[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Each row of promises in docs/security.md names a test, and each of these tests exists.
func TestPromisesOfSecurityHaveTests(t *testing.T) {
	known := testNames(t)
	quoted := regexp.MustCompile("`([^`]+)`")
	promises, inTable := 0, false
	for line := range strings.Lines(pages(t)["docs/security.md"]) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case strings.HasSuffix(line, "| test |"):
			inTable = true
		case inTable && !strings.HasPrefix(line, "|---"):
			promises++
			cells := strings.Split(strings.TrimSuffix(line, " |"), " | ")
			found := quoted.FindAllStringSubmatch(cells[len(cells)-1], -1)
			if len(found) == 0 {
				t.Errorf("no test: %s", line)
			}
			for _, match := range found {
				name := match[1]
				if strings.HasPrefix(name, "packaging/") {
					if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
						t.Error(err)
					}
				} else if !known[name] {
					t.Errorf("there is no test %s: %s", name, line)
				}
			}
		case !inTable && strings.HasPrefix(line, "| promise |"):
			t.Errorf("a table of promises without tests: %s", line)
		}
	}
	if promises < 40 {
		t.Errorf("%d promises found", promises)
	}
}
