//go:build unix

package shim

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
)

// noRaceSleep is an environment variable: otherwise a program with the race detector sleeps for a second at its end.
const noRaceSleep = "GORACE=atexit_sleep_ms=0"

// shimProcess returns a command in a process of its own, with a spool of its own.
func shimProcess(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sendmail", args...) // testscript has put the command into $PATH
	cmd.Env = []string{"WORK=" + dir, "SPOOLGORE_DIR=" + filepath.Join(dir, "spool"), noRaceSleep}
	return cmd
}

// newSpool returns a directory that contains a spool.
func newSpool(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// inSpool returns the files in the spool, tmp/ included.
func inSpool(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "spool"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Many calls at the same time: each message with exit code 0 is in the spool once and complete.
func TestManyAtOnce(t *testing.T) {
	is := is.New(t)
	dir := newSpool(t)
	const n = 500
	body := strings.Repeat("a line of text\n", 700)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			cmd := shimProcess(t, dir, "-oi", fmt.Sprintf("%d@x.org", i))
			cmd.Stdin = strings.NewReader("From: f@x.org\n\n" + body)
			errs[i] = cmd.Run()
		})
	}
	wg.Wait()
	want := map[string]bool{}
	for i, err := range errs {
		is.NoErr(err)
		want[fmt.Sprintf(`X-Spoolgore-Envelope: {"from":"f@x.org","to":["%d@x.org"]}`+"\nFrom: f@x.org\n\n", i)+body] = true
	}
	files := inSpool(t, dir)
	is.Equal(len(files), n) // no message is lost or doubled, and no file is left in tmp/
	for _, file := range files {
		text, err := os.ReadFile(file)
		is.NoErr(err)
		message := untraced(t, string(text), "", file)
		is.True(want[message]) // complete, and for the first time
		delete(want, message)
	}
}

// A call that is interrupted accepts no message and leaves no file.
func TestInterrupted(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE} {
		t.Run(sig.String(), func(t *testing.T) {
			if signal.Ignored(sig) {
				t.Skip("ignored by the test itself, as under nohup: TestNohup covers that")
			}
			is := is.New(t)
			dir := newSpool(t)
			cmd, stdin, stderr := halfGiven(t, dir)
			is.NoErr(cmd.Process.Signal(sig))
			is.Equal(exitOf(cmd.Wait()), exitTempFail)
			is.True(strings.Contains(stderr.String(), "interrupted ("+sig.String()+"), nothing was accepted"))
			is.Equal(len(inSpool(t, dir)), 0) // no file in the spool or in tmp/
			stdin.Close()
		})
	}
}

// A call that is killed leaves a file in tmp/, which is no message.
func TestKilled(t *testing.T) {
	is := is.New(t)
	dir := newSpool(t)
	cmd, stdin, _ := halfGiven(t, dir)
	defer stdin.Close()
	is.NoErr(cmd.Process.Kill())
	is.True(cmd.Wait() != nil)
	files := inSpool(t, dir)
	is.Equal(len(files), 1)
	is.Equal(filepath.Base(filepath.Dir(files[0])), "tmp")
}

// A signal that was ignored at the start, as under nohup, stays ignored.
func TestNohup(t *testing.T) {
	is := is.New(t)
	dir := newSpool(t)
	cmd := shimProcess(t, dir)
	cmd.Args = []string{"sh", "-c", `trap "" HUP; exec "$0" a@x.org`, cmd.Path}
	cmd.Path = "/bin/sh"
	stdin := give(t, cmd, dir)
	is.NoErr(cmd.Process.Signal(syscall.SIGHUP))
	_, err := io.WriteString(stdin, "the end")
	is.NoErr(err)
	is.NoErr(stdin.Close())
	is.NoErr(cmd.Wait())
	is.Equal(len(inSpool(t, dir)), 1)
}

// A warning that cannot be written does not change the exit code of an accepted message.
func TestBrokenStandardError(t *testing.T) {
	is := is.New(t)
	dir := newSpool(t)
	r, w, err := os.Pipe()
	is.NoErr(err)
	is.NoErr(r.Close())
	defer w.Close()
	cmd := shimProcess(t, dir, "@a", "b@x.org") // @a causes a warning
	cmd.Stderr = w
	is.NoErr(cmd.Run())
	is.Equal(len(inSpool(t, dir)), 1)
}

// A message whose name cannot be printed (-v) is accepted: with another exit code, the caller would send it again.
func TestAcceptedMessageThatCannotBeConfirmed(t *testing.T) {
	is := is.New(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full: ", err)
	}
	defer full.Close()
	dir := newSpool(t)
	cmd := shimProcess(t, dir, "-v", "b@x.org")
	cmd.Stdout = full
	is.NoErr(cmd.Run())
	is.Equal(len(inSpool(t, dir)), 1)
}

// If a list, a reply or a configuration cannot be written, the exit code says so. An empty list would mean that no mail
// waits.
func TestStandardOutputCannotBeWritten(t *testing.T) {
	for _, args := range [][]string{{"-bp"}, {"-bp", "-json"}, {"-bv", "a@x.org"}, {"-bP"}, {"-bs"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			is := is.New(t)
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Skip("no /dev/full: ", err)
			}
			defer full.Close()
			dir := newSpool(t)
			is.NoErr(shimProcess(t, dir, "-oi", "a@x.org").Run())
			cmd := shimProcess(t, dir, args...)
			cmd.Stdout = full
			is.Equal(exitOf(cmd.Run()), exitIO)
			is.NoErr(shimProcess(t, dir, args...).Run())
		})
	}
}

// halfGiven starts the command and writes a part of a message. When it returns, the command has begun to write the
// file.
func halfGiven(t *testing.T, dir string) (*exec.Cmd, io.WriteCloser, *strings.Builder) {
	t.Helper()
	cmd := shimProcess(t, dir, "a@x.org")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	return cmd, give(t, cmd, dir), &stderr
}

func give(t *testing.T, cmd *exec.Cmd, dir string) io.WriteCloser {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = io.WriteString(stdin, "From: f@x.org\n\n"+strings.Repeat("x", 300_000))
	}
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); len(inSpool(t, dir)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the command does not begin to write")
		}
	}
	return stdin
}

// exitOf returns the exit code in err, or -1 if there is none.
func exitOf(err error) int {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return -1
}
