package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// spoolOf makes a spool with a message of each name, written 50 minutes ago.
func spoolOf(t *testing.T, names ...string) string {
	t.Helper()
	is := is.New(t)
	dir := t.TempDir()
	is.NoErr(os.WriteFile(filepath.Join(dir, spooldir.LockFile), nil, 0o600))
	is.NoErr(os.WriteFile(filepath.Join(dir, spooldir.StatusFile), []byte("{}"), 0o600))
	old := time.Now().Add(-50 * time.Minute)
	for _, name := range names {
		path := filepath.Join(dir, name)
		is.NoErr(os.WriteFile(path, []byte("From: a@x.org\nTo: b@x.org\n\n"), 0o600))
		is.NoErr(os.Chtimes(path, old, old))
	}
	return dir
}

// An age of zero is an error in any unit: as "no limit" it would choose all messages.
func TestAgeOfZeroChoosesNothing(t *testing.T) {
	for _, zero := range []string{"0", "0s", "0d"} {
		is := is.New(t)
		dir := spoolOf(t, "m.eml")
		code, _, errs := outputOf("", "delete", "-y", "-all", "-younger", zero, dir)
		is.Equal(code, ExitUsage)
		is.True(strings.Contains(errs, "more than zero"))
		_, err := os.Stat(filepath.Join(dir, "m.eml"))
		is.NoErr(err) // nothing was deleted
	}
}

// A touch puts a file with a temporary name off for an hour. So retry and redirect leave such a file alone.
func TestRetryLeavesTemporaryNames(t *testing.T) {
	is := is.New(t)
	dir := spoolOf(t, "m.eml", "m.eml~", "m.own")
	age := func(name string) string {
		fi, err := os.Stat(filepath.Join(dir, name))
		is.NoErr(err)
		return fmt.Sprint(int(time.Since(fi.ModTime()).Minutes()))
	}
	for _, args := range [][]string{{"retry", dir, "m.eml~"}, {"redirect", dir, "m.eml~", "c@x.org"}} {
		code, _, errs := outputOf("", args...)
		is.Equal(code, ExitNotDone)
		is.True(strings.Contains(errs, "rename it"))
		is.Equal(age("m.eml~"), "50")
	}
	file := filepath.Join(t.TempDir(), "conf")
	is.NoErr(os.WriteFile(file, []byte("dir "+dir+"\ntemporary *.own *~\n"), 0o600))
	code, out, _ := outputOf("", "retry", "-all", "-config", file)
	is.Equal(code, ExitOK)
	is.Equal(out, "to be tried again: m.eml\n")
	is.Equal(age("m.eml~")+" "+age("m.own")+" "+age("m.eml"), "50 50 0")
}

// The status file of -config counts for a directory on the command line, if the file names no spool.
func TestStatusFileOfAConfigurationWithoutASpool(t *testing.T) {
	is := is.New(t)
	dir := spoolOf(t, "m.eml")
	is.NoErr(os.Remove(filepath.Join(dir, spooldir.StatusFile)))
	status := filepath.Join(t.TempDir(), "status.js")
	text := fmt.Sprintf(`{%q: {"From": "a@x.org", "To": [{"Address": "known@x.org"}]}}`, filepath.Join(dir, "m.eml"))
	is.NoErr(os.WriteFile(status, []byte(text), 0o600))
	file := filepath.Join(t.TempDir(), "conf")
	is.NoErr(os.WriteFile(file, []byte("json "+status+"\n"), 0o600))
	code, out, errs := outputOf("", "list", "-config", file, dir)
	is.Equal(code, ExitOK)
	is.Equal(errs, "")
	is.True(strings.Contains(out, "known@x.org"))
}
