package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestDemo(t *testing.T) {
	is := is.New(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var stdout, stderr bytes.Buffer
	code := runCommand([]string{"demo"}, nil, &stdout, &stderr)
	is.Equal(stderr.String(), "") // no errors
	is.Equal(code, 0)             // every step had the expected outcome
	for _, line := range []string{
		"1. A program leaves a file", "from app@example.com, to ann@example.com,",
		"2. A Go program sends an attachment", "to ann@example.com, eve@example.com, with invoice.pdf", "not a word of eve@example.com",
		"3. A recipient whom the relay does not take now", "451 4.2.1 mailbox busy", "to later@example.com, at attempt ",
		"4. A recipient whom the relay refuses", "550 5.1.1 no such user here", "All went as expected",
	} {
		is.True(strings.Contains(stdout.String(), line)) // the output has every step
	}
	left, err := os.ReadDir(tmp)
	is.NoErr(err)
	is.Equal(len(left), 0) // the temporary spool is removed

	is.Equal(runCommand([]string{"demo", "-keep"}, nil, &stdout, &stderr), 0)
	left, err = os.ReadDir(tmp)
	is.NoErr(err)
	is.Equal(len(left), 1)                                                         // the spool is kept
	is.True(strings.HasSuffix(strings.TrimSpace(stdout.String()), left[0].Name())) // the output has the directory
}
