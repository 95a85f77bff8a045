package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// withoutReceived returns a message without the Received field that put adds. The field has the file name of the
// message.
func withoutReceived(t *testing.T, text, name string) string {
	t.Helper()
	form := regexp.MustCompile(`(?m)^Received: from localhost by \S+( \(uid \d+\))?\n\tid (\S+);\n\t.*\n`)
	at := form.FindStringSubmatchIndex(text)
	if at == nil || text[at[4]:at[5]] != name {
		t.Fatalf("no Received field with the name %s in %q", name, text)
	}
	return text[:at[0]] + text[at[1]:]
}

func TestPut(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	const from, message = "From a@x Mon Jan  1 10:00:00 2024\n", "From: f@x\nTo: a@x\n\ntext\n"
	mbox := filepath.Join(t.TempDir(), "mbox")
	is.NoErr(os.WriteFile(mbox, []byte(from+message+"\n"+from+message), 0o600))

	code, out, errs := outputOf("", "put", dir, mbox, "-to", "b@x", "-to", "c@x", "-from", "<>", "-priority", "-1", "-expire", "2030-01-02T03:04:05Z")
	is.Equal(errs, "")
	is.Equal(code, ExitOK)
	names := strings.Fields(out)
	is.Equal(len(names), 2) // each message of the mbox file
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		is.NoErr(err)
		is.Equal(withoutReceived(t, string(text), name), `X-Spoolgore-Envelope: {"from":"","to":["b@x","c@x"],"expire":"2030-01-02T03:04:05Z","priority":-1}`+"\n"+message)
	}

	code, out, _ = outputOf(message, "put", dir, "-")
	is.Equal(code, ExitOK)
	text, err := os.ReadFile(filepath.Join(dir, strings.TrimSpace(out)))
	is.NoErr(err)
	is.Equal(withoutReceived(t, string(text), strings.TrimSpace(out)), message) // standard input unchanged

	code, out, errs = outputOf("To: a@x\n\n", "put", dir, mbox, "-", filepath.Join(dir, "missing"))
	is.Equal(code, ExitNotDone)
	is.Equal(len(strings.Fields(out)), 2) // the other files are put in spite of the bad one
	is.True(strings.Contains(errs, "spoolgore: put: standard input: no sender"))
	is.True(strings.Contains(errs, "missing"))

	for args, say := range map[string]string{
		"":                     "which file?",
		"-expire soon " + mbox: "neither a time",
		"-notbefore 5 " + mbox: "neither a time",
		"-priority x " + mbox:  "not a number",
	} {
		code, _, errs = outputOf("", append([]string{"put", dir}, strings.Fields(args)...)...)
		is.Equal(code, ExitUsage)
		is.True(strings.Contains(errs, say))
	}
}

// A small container has no directory for temporary files but that of the spool.
func TestPutWithoutADirectoryForTemporaryFiles(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	is.NoErr(os.Mkdir(filepath.Join(dir, spooldir.TmpDir), 0o700))
	t.Setenv("TMPDIR", "/nowhere")
	code, out, errs := outputOf("From: f@x\nTo: a@x\n\ntext\n", "put", dir, "-")
	is.Equal(errs, "")
	is.Equal(code, ExitOK)
	_, err := os.Stat(filepath.Join(dir, strings.TrimSpace(out)))
	is.NoErr(err)
	left, err := os.ReadDir(filepath.Join(dir, spooldir.TmpDir))
	is.NoErr(err)
	is.Equal(len(left), 0)
}
