package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/docrows"
	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// crashEnv makes the test binary a program that uses a journal as a daemon does, and kills itself after one of the
// steps. Its arguments are a directory and the number of the step, from 1; with 0 it runs to the end.
const crashEnv = "JOURNAL_TEST_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		os.Exit(crash(os.Args[1], os.Args[2]))
	}
	os.Exit(m.Run())
}

// crashRows are the rows of the table "Journal" in docs/durability.md. Each has the steps after which the process is
// killed, and the expected records in the journal and in the status file.
var crashRows = []struct {
	text  string
	kills []kill
}{
	{"some recipients of several have accepted", []kill{{step: "accepted"}}},
	{"a line for that is appended, with those of other messages", []kill{
		{step: "make"}, {step: "sync directory"}, {step: "write part", journal: "a", torn: true}, {step: "write", journal: "a b"},
	}},
	{"it is synced; then the log has a line, and the other recipients are tried", []kill{{step: "sync", journal: "a b"}}},
	{"the status file that says as much is in place and synced", []kill{{step: "status", journal: "a b", status: "a b"}}},
	{"the journal is emptied, or replaced by one with later lines only", []kill{
		{step: "truncate", status: "a b"}, {step: "sync", status: "a b"},
		{step: "write part", journal: "c", status: "a b", torn: true}, // the write of c and d
		{step: "write", journal: "c d", status: "a b"}, {step: "sync", journal: "c d", status: "a b"},
		{step: "status", journal: "c d", status: "a b c"},
		{step: "replace", journal: "d", status: "a b c"},
	}},
}

type kill struct {
	step, journal, status string
	torn                  bool // the journal ends within a line
}

// live does what a daemon does: it appends records, writes the status file, and cuts the journal.
func live(dir string, after func(step string)) error {
	f := New(filepath.Join(dir, "journal"))
	watchSteps(f.disk, after)
	status := func(text string) error {
		path := filepath.Join(dir, "status")
		err := spooldir.WriteFile(path, 0o600, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
		after("status")
		return err
	}
	sync := func() error { err, _ := f.Sync(time.Now()); return err }
	after("accepted")
	at := add(f, "a", "b")
	if err := errors.Join(sync(), status("a b")); err != nil {
		return err
	}
	f.Cut(at)
	if err := sync(); err != nil {
		return err
	}
	at = add(f, "c")
	add(f, "d")
	if err := errors.Join(sync(), status("a b c")); err != nil {
		return err
	}
	f.Cut(at)
	return sync()
}

// watchSteps calls after for each step that d takes.
func watchSteps(d *disk, after func(step string)) {
	d.fs = &watchedFS{FS: d.fs, after: after}
}

// watchedFS is a file system that reports its steps.
type watchedFS struct {
	fsys.FS
	after    func(step string)
	replaced bool // a file was replaced: the sync of its directory belongs to that step
}

func (w *watchedFS) done(err error, step string) error {
	if err == nil {
		w.after(step)
	}
	return err
}

func (w *watchedFS) OpenFile(path string, flag int, perm fs.FileMode) (fsys.File, error) {
	f, err := w.FS.OpenFile(path, flag, perm)
	return watched{f, w.after}, w.done(err, "make")
}

func (w *watchedFS) SyncDir(path string) error {
	step := "sync directory"
	if w.replaced {
		w.replaced, step = false, "replace"
	}
	return w.done(w.FS.SyncDir(path), step)
}

func (w *watchedFS) Replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	w.replaced = true
	return w.FS.Replace(path, perm, write)
}

// watched is a file that reports its steps. A write is split before its last three bytes.
type watched struct {
	fsys.File
	after func(step string)
}

func (w watched) WriteAt(p []byte, at int64) (int, error) {
	part := len(p) - 3
	if n, err := w.File.WriteAt(p[:part], at); err != nil {
		return n, err
	}
	w.after("write part")
	n, err := w.File.WriteAt(p[part:], at+int64(part))
	w.after("write")
	return part + n, err
}

func (w watched) Sync() error {
	err := w.File.Sync()
	w.after("sync")
	return err
}

func (w watched) Truncate(size int64) error {
	err := w.File.Truncate(size)
	w.after("truncate")
	return err
}

// crash is the main function of the program that is killed.
func crash(dir, steps string) int {
	lives, err := strconv.Atoi(steps)
	if err == nil {
		err = live(dir, func(step string) {
			fmt.Println(step)
			if lives--; lives == 0 {
				self, _ := os.FindProcess(os.Getpid())
				_ = self.Kill()
				select {}
			}
		})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// runCrash runs live in another process, which is killed after that many steps. It returns the steps that were done.
func runCrash(t *testing.T, dir string, steps int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir, strconv.Itoa(steps))
	cmd.Env = append(os.Environ(), crashEnv+"=1")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if killed := errors.As(err, &exit) && !exit.Exited(); killed != (steps > 0) || !killed && err != nil {
		t.Fatalf("after %d steps: %v\n%s", steps, err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestCrash(t *testing.T) {
	var steps []string
	for _, row := range crashRows {
		for _, k := range row.kills {
			steps = append(steps, k.step)
			t.Run(row.text+"/"+k.step, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				is.Equal(runCrash(t, dir, len(steps)), steps) // the expected steps in order
				status, err := os.ReadFile(filepath.Join(dir, "status"))
				is.True(err == nil || errors.Is(err, fs.ErrNotExist))
				is.Equal(string(status), k.status)
				f, records, found := reopen(t, filepath.Join(dir, "journal"))
				is.Equal(strings.Join(records, " "), k.journal)
				is.Equal(found.Torn > 0, k.torn) // reported, to be logged
				is.Equal(found.Bad, 0)
				add(f, "next")
				flush(t, f) // the journal can be used
				is.Equal(look(t, filepath.Join(dir, "journal")), append(slices.Clone(records), "next"))
			})
		}
	}
	is := is.New(t)
	is.Equal(runCrash(t, t.TempDir(), 0), steps) // every step is in a row
}

// TestCrashRowsAreTheDocumented compares the rows with docs/durability.md.
func TestCrashRowsAreTheDocumented(t *testing.T) {
	is := is.New(t)
	text, err := os.ReadFile("../../docs/durability.md")
	is.NoErr(err)
	var tested []string
	for _, row := range crashRows {
		tested = append(tested, row.text)
	}
	is.Equal(docrows.Steps(string(text))["Journal"], tested)
}
