package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/docrows"
	"github.com/unbit/spoolgore/internal/fsys"
)

// crashEnv makes the test binary a program that does an operation and kills itself after one of its steps. Its
// arguments are the spool, the name of the operation, and the number of the step, from 1; with 0 it runs to the end.
const crashEnv = "SPOOLDIR_TEST_CRASH"

// An operation has a table in docs/durability.md. Its rows are the rows of the table.
type operation struct {
	section string // heading of the table in the document
	name    string // name in the tests
	byLink  bool   // a rename is a link and a removal, as on systems without a rename that never overwrites
	rows    []crashRow
	since   [][]string // for each row the steps before that are in other tables; missing: none
	prepare func(t *testing.T, d *Dir)
	run     func(d *Dir, after func(step string)) error
	again   func(d *Dir) error // what the daemon does at the next start; nil: it would send the messages in the spool
	ends    []files            // the files after again for each row; missing: those of the last element
	tail    []string           // steps after the last row that are in other tables
	many    bool               // the spool has several messages
}

// A crashRow is a step, with the files if the process is killed right after it.
type crashRow struct {
	text string // text in the document
	step string // the step as text
	left files  // the files after the crash
	then files  // the files after Recover; nil: the same
}

// crash is the main function of the program that is killed.
func crash(args []string) int {
	d, err := New(args[0])
	if err != nil {
		return 1
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return 1
	}
	lives, err := strconv.Atoi(args[2])
	if err != nil {
		return 1
	}
	after := func(step string) {
		fmt.Println(step)
		if lives--; lives == 0 {
			_ = self.Kill()
			select {}
		}
	}
	for _, op := range operations() {
		if op.name == args[1] {
			watchSteps(d, op.byLink, after)
			err = op.run(d, after)
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// watchSteps calls after for each step that d takes.
func watchSteps(d *Dir, byLink bool, after func(step string)) {
	real, in := *opsOf(d), func(path string) string { return filepath.Base(filepath.Dir(path)) }
	spool := filepath.Base(d.Path())
	done := func(err error, verb, dir string) error {
		if dir == spool {
			dir = "spool"
		}
		if err == nil {
			after(verb + " " + dir)
		}
		return err
	}
	d.newName = func() string { return "fresh" }
	opsOf(d).write = func(f fsys.File, p []byte) (int, error) {
		if in(f.Name()) != "failed" {
			return f.Write(p)
		}
		n, err := halfWriter{f, after}.Write(p)
		return n, done(err, "write in", "failed")
	}
	opsOf(d).syncFile = func(f fsys.File) error {
		if in(f.Name()) == tmpDir {
			after("write")
		}
		return done(real.syncFile(f), "sync file in", in(f.Name()))
	}
	opsOf(d).syncAll = func(path string) error { return done(real.syncAll(path), "sync", "all") }
	opsOf(d).rename = func(from, to string) error { return done(real.rename(from, to), "move to", in(to)) }
	opsOf(d).syncDir = func(path string) error { return done(real.syncDir(path), "sync", filepath.Base(path)) }
	opsOf(d).replace = func(path string, perm fs.FileMode, write func(io.Writer) error) error {
		err := real.replace(path, perm, func(w io.Writer) error { return write(halfWriter{w, after}) })
		return done(err, "replace in", in(path))
	}
	opsOf(d).touch = func(path string) error { return done(real.touch(path), "make in", in(path)) }
	opsOf(d).link = func(from, to string) error { return done(real.link(from, to), "link to", in(to)) }
	opsOf(d).remove = func(path string) error { return done(real.remove(path), "remove in", in(path)) }
	opsOf(d).move = func(from, to string) error { return done(real.move(from, to), "move to", in(to)) }
	if byLink {
		opsOf(d).move = func(string, string) error { return errors.ErrUnsupported }
	}
}

// halfWriter fails after half of each write.
type halfWriter struct {
	w     io.Writer
	after func(step string)
}

func (h halfWriter) Write(p []byte) (int, error) {
	n, err := h.w.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	h.after("write half")
	m, err := h.w.Write(p[n:])
	return n + m, err
}

func TestCrash(t *testing.T) {
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			var steps []string
			for i, row := range op.rows {
				if i < len(op.since) {
					steps = append(steps, op.since[i]...)
				}
				steps = append(steps, row.step)
				t.Run(row.text, func(t *testing.T) { testCrash(t, op, i, steps) })
			}
			t.Run("no more steps", func(t *testing.T) {
				is := is.New(t)
				is.Equal(runCrash(t, op, newSpoolFor(t, op), 0), append(steps, op.tail...)) // every step has a row
			})
		})
	}
}

// testCrash kills op after the last of steps, the step of row i, and recovers the spool.
func testCrash(t *testing.T, op operation, i int, steps []string) {
	is, row := is.New(t), op.rows[i]
	d := newSpoolFor(t, op)
	is.Equal(runCrash(t, op, d, len(steps)), steps) // the expected steps in order
	is.Equal(state(t, d), row.left)
	if row.then == nil {
		row.then = row.left
	}
	if isThere(d, "fresh") && isThere(d, "tmp/.put-fresh") {
		age(t, d.File("fresh"), 2*handOver) // the writer cannot run any more
	}
	again, err := New(d.Path())
	is.NoErr(err)
	recoverInSteps(t, again)
	is.Equal(state(t, again), row.then)
	is.NoErr(again.Recover())
	is.Equal(state(t, again), row.then) // a second Recover changes no file
	if !op.many {
		checkSound(t, again)
	}
	checkDayLater(t, again)
	if op.again == nil {
		return
	}
	again.newName = func() string { return "second" }
	is.NoErr(op.again(again))
	is.Equal(state(t, again), op.ends[min(i, len(op.ends)-1)])
}

func newSpoolFor(t *testing.T, op operation) *Dir {
	d := newSpool(t)
	if op.prepare != nil {
		op.prepare(t, d)
	}
	return d
}

// runCrash runs op in another process, which is killed after that many steps. It returns the steps that were done.
func runCrash(t *testing.T, op operation, d *Dir, steps int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], d.Path(), op.name, strconv.Itoa(steps))
	cmd.Env = append(os.Environ(), crashEnv+"=1")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if killed := errors.As(err, &exit) && !exit.Exited(); killed != (steps > 0) || !killed && err != nil {
		t.Fatalf("after %d steps: %v\n%s", steps, err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// recoverInSteps calls Recover, which crashes after its first change, until Recover has no more change to make.
func recoverInSteps(t *testing.T, d *Dir) {
	t.Helper()
	real, newName := *opsOf(d), d.newName
	defer func() { *opsOf(d), d.newName = real, newName }()
	crash := func(err error) error {
		if err == nil {
			panic("crash")
		}
		return err
	}
	d.newName = func() string { return "fresh" }
	opsOf(d).move = func(from, to string) error { return crash(real.move(from, to)) }
	opsOf(d).remove = func(path string) error { return crash(real.remove(path)) }
	opsOf(d).rename = func(from, to string) error { return crash(real.rename(from, to)) }
	for crashed := true; crashed; {
		func() {
			defer func() { crashed = recover() != nil }() // Recover itself has no deferred calls
			if err := d.Recover(); err != nil {
				t.Fatal(err)
			}
		}()
	}
}

// The message, and its part on disk when the writer is killed in the middle.
var (
	whole = "Subject: hello\n\n" + strings.Repeat("x", bufferSize) + "\n"
	half  = whole[:bufferSize+1] // more than a write buffer
)

// state returns tree with words for the texts above, and without the random parts of names.
func state(t *testing.T, d *Dir) files {
	t.Helper()
	s := files{}
	for name, text := range tree(t, d) {
		name = regexp.MustCompile(`(/\.sent-).*-`).ReplaceAllString(name, "$1*-")
		name = regexp.MustCompile(`(\.js(on)?)\d+$`).ReplaceAllString(name, "$1*")
		switch {
		case text == whole:
			text = "whole"
		case text == half:
			text = "half"
		case strings.HasPrefix(text, `X-Spoolgore-Envelope: {"from":"","to":["f@x.org"]}`):
			text = "report"
		case text == reportedWhy:
			text = "why"
		}
		s[name] = text
	}
	return s
}

// checkSound fails the test unless the message is in one place, complete, and can be sent or has its why-file.
func checkSound(t *testing.T, d *Dir) {
	t.Helper()
	is := is.New(t)
	places := 0
	for name, text := range state(t, d) {
		dir, base := filepath.Split(name)
		if base[0] == '.' || strings.HasSuffix(base, whySuffix) || text == "report" {
			continue // other files
		}
		places++
		is.True(text == "whole" || text == "another") // never a part of it
		switch dir {
		case "":
			_, err := d.Stat(base)
			is.NoErr(err) // the file can be sent
		case "failed/":
			is.True(isThere(d, name+whySuffix)) // the failed message has its why-file
		default:
			t.Errorf("a message in %s", dir)
		}
	}
	is.True(places <= 1) // in one place
}

func isThere(d *Dir, name string) bool {
	_, err := os.Lstat(d.File(name))
	return err == nil
}

// checkDayLater fails the test unless a start on another day removes the unfinished files of Put, and no other file.
func checkDayLater(t *testing.T, d *Dir) {
	t.Helper()
	is := is.New(t)
	want := state(t, d)
	for name := range tree(t, d) {
		if strings.HasPrefix(name, "tmp/"+putPrefix) {
			age(t, d.File(name), stale+time.Hour)
			delete(want, name)
		}
	}
	is.NoErr(d.Recover())
	is.Equal(state(t, d), want)
}

// TestCrashRowsAreTheDocumented compares the rows with docs/durability.md.
func TestCrashRowsAreTheDocumented(t *testing.T) {
	is := is.New(t)
	text, err := os.ReadFile("../../docs/durability.md")
	is.NoErr(err)
	tested := map[string][]string{}
	for _, op := range operations() {
		for _, row := range op.rows {
			tested[op.section] = append(tested[op.section], row.text)
		}
	}
	documented := docrows.Steps(string(text))
	delete(documented, "Journal") // internal/journal tests this table
	is.Equal(documented, tested)
}
