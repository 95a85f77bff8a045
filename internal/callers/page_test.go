//go:build linux

package callers

import (
	"os"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/rogpeppe/go-internal/txtar"
)

// The code for Django in docs/frameworks.md is the code that TestCallers/django runs.
func TestThePageHasTheCodeThatIsRun(t *testing.T) {
	is := is.New(t)
	page, err := os.ReadFile("../../docs/frameworks.md")
	is.NoErr(err)
	archive, err := txtar.ParseFile("testdata/django.txtar")
	is.NoErr(err)
	for _, f := range archive.Files {
		if f.Name == "mail.py" {
			is.True(strings.Contains(string(page), "```python\n"+string(f.Data)+"```\n")) // the page has mail.py
			return
		}
	}
	t.Fatal("testdata/django.txtar has no mail.py")
}
