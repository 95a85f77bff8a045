//go:build linux

package callers

import (
	"os"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/rogpeppe/go-internal/txtar"
)

// docs/frameworks.md has the code for Django that TestCallers/django runs.
func TestPageHasTheCodeThatIsRun(t *testing.T) {
	is := is.New(t)
	page, err := os.ReadFile("../../docs/frameworks.md")
	is.NoErr(err)
	archive, err := txtar.ParseFile("testdata/django.txtar")
	is.NoErr(err)
	for _, f := range archive.Files {
		if f.Name == "mail.py" {
			// docs/frameworks.md has mail.py
			is.True(strings.Contains(string(page), "```python\n"+string(f.Data)+"```\n"))
			return
		}
	}
	t.Fatal("testdata/django.txtar has no mail.py")
}
