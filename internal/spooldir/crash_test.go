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

// crashEnv makes the test binary a program that carries out an operation and kills itself after one of its steps. Its
// arguments are the spool, the name of the operation, and the number of the step, from 1; 0: it lives to the end.
const crashEnv = "SPOOLDIR_TEST_CRASH"

// An operation is one of those in docs/durability.md, and its rows are the rows of its table there.
type operation struct {
	section string // of the document
	name    string // for tests
	byLink  bool   // a rename is a link and a removal, as where the system has no rename that never overwrites
	rows    []crashRow
	since   [][]string // of each row the steps before its own that have rows in other tables; shorter: none
	prepare func(t *testing.T, d *Dir)
	run     func(d *Dir, after func(step string)) error
	again   func(d *Dir) error // what the daemon does next; nil: it would send what is in the spool
	ends    []files            // what that leads to from each row; shorter: the last one
	tail    []string           // steps after the last row that have rows in other tables
	many    bool               // there are several messages
}

// A crashRow is a step, and what it leaves when the process is killed right after it.
type crashRow struct {
	text string // of the document
	step string // as after is told
	left files  // what is there then
	then files  // what Recover makes of it; nil: the same
}

// crash is the program that is killed.
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

// halfWriter stops after half of each write.
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

// testCrash kills op after the last of steps, which is that of row i, and starts again.
func testCrash(t *testing.T, op operation, i int, steps []string) {
	is, row := is.New(t), op.rows[i]
	d := newSpoolFor(t, op)
	is.Equal(runCrash(t, op, d, len(steps)), steps) // it came so far, in this order
	is.Equal(state(t, d), row.left)
	if row.then == nil {
		row.then = row.left
	}
	if isThere(d, "fresh") && isThere(d, "tmp/.put-fresh") {
		age(t, d.File("fresh"), 2*handOver) // its writer is dead for certain
	}
	again, err := New(d.Path())
	is.NoErr(err)
	recoverInSteps(t, again)
	is.Equal(state(t, again), row.then)
	is.NoErr(again.Recover())
	is.Equal(state(t, again), row.then) // nothing is left to do
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

// runCrash has another process carry out op, and be killed after so many steps. It returns the steps that were taken.
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

// recoverInSteps calls Recover, which crashes after the first thing that it has put right, until there is nothing more.
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
			defer func() { crashed = recover() != nil }() // Recover itself has nothing that is deferred
			if err := d.Recover(); err != nil {
				t.Fatal(err)
			}
		}()
	}
}

// The message, and the part of it that is on disk when its writer is killed in the middle.
var (
	whole = "Subject: hello\n\n" + strings.Repeat("x", bufferSize) + "\n"
	half  = whole[:bufferSize+1] // more than what waits in a buffer
)

// state is tree, with words for the texts above and without what is random in the names.
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

// checkSound fails the test unless the message is in one place, whole, and can be sent or has its why-file.
func checkSound(t *testing.T, d *Dir) {
	t.Helper()
	is := is.New(t)
	places := 0
	for name, text := range state(t, d) {
		dir, base := filepath.Split(name)
		if base[0] == '.' || strings.HasSuffix(base, whySuffix) || text == "report" {
			continue // not the message
		}
		places++
		is.True(text == "whole" || text == "another") // never half of it
		switch dir {
		case "":
			_, err := d.Stat(base)
			is.NoErr(err) // it can be sent
		case "failed/":
			is.True(isThere(d, name+whySuffix)) // it is explained
		default:
			t.Errorf("a message in %s", dir)
		}
	}
	is.True(places <= 1) // nowhere twice
}

func isThere(d *Dir, name string) bool {
	_, err := os.Lstat(d.File(name))
	return err == nil
}

// checkDayLater fails the test unless a start on another day removes what Put has not finished, and nothing else.
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

// TestCrashRowsAreTheDocumented keeps docs/durability.md and the rows here together.
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
	delete(documented, "Journal") // that is for internal/journal
	is.Equal(documented, tested)
}
