//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/unbit/spoolgore"
)

// patience is how long a test waits for an event. It is long because the status file is late on a slow disk: the daemon
// spends at most a twentieth of its time on it.
const patience = 5 * time.Minute

// daemon is a process of the command.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    logBuffer // its standard error
	exited chan struct{}
}

// start runs the command with the arguments. A process that still runs at the end of the test is killed.
func start(t *testing.T, args ...string) *daemon {
	t.Helper()
	return startWith(t, nil, args...)
}

// startWith is start with additional environment variables.
func startWith(t *testing.T, env []string, args ...string) *daemon {
	t.Helper()
	var d *daemon
	t.Cleanup(func() {
		if t.Failed() && d != nil {
			t.Logf("log of spoolgore %s:\n%s", strings.Join(args, " "), d.log.String())
		}
	})
	d = launch(t, env, args...)
	return d
}

// launch is startWith for a test that logs a part of the daemon's log itself.
func launch(t *testing.T, env []string, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: exec.Command(os.Args[0], args...), exited: make(chan struct{})}
	d.cmd.Env = []string{asCommand + "=1"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GODEBUG=") { // the command has to set GODEBUG itself
			d.cmd.Env = append(d.cmd.Env, v)
		}
	}
	d.cmd.Env = append(d.cmd.Env, env...)
	d.cmd.Stderr = &d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("start: %v", err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.exited
	})
	return d
}

func (d *daemon) signal(sig syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.t.Fatalf("signal: %v", err)
	}
}

// exit waits for the end of the process and returns its exit code.
func (d *daemon) exit() int {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(patience):
		d.t.Fatal("the process does not end")
	}
	return d.cmd.ProcessState.ExitCode()
}

// stop ends the process as a supervisor does.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	if code := d.exit(); code != 0 {
		d.t.Fatalf("exit code %d after SIGTERM", code)
	}
}

func (d *daemon) running() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// logs waits until the log has the words n times.
func (d *daemon) logs(words string, n int) {
	d.t.Helper()
	eventually(d.t, fmt.Sprintf("the log says %q %d times", words, n), func() bool { return strings.Count(d.log.String(), words) >= n })
}

// logBuffer is a buffer that can be read while the daemon writes to it.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// eventually waits until so returns true.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// throughout fails the test if so returns false during the time d.
func throughout(t *testing.T, d time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if !so() {
			t.Fatalf("not so: %s", what)
		}
	}
}

// mail returns a message with the given header fields, such as "To: a@x".
func mail(fields ...string) string {
	return "From: app@example.com\n" + strings.Join(fields, "\n") +
		"\nDate: Mon, 2 Jan 2006 15:04:05 +0000\nMessage-ID: <1@example.com>\nSubject: hello\n\nbody\n.\n"
}

// drop puts a message into the spool by rename.
func drop(t *testing.T, spool, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(spool, name)
	must(t, os.MkdirAll(filepath.Join(spool, "tmp"), 0o700))
	tmp := filepath.Join(spool, "tmp", name)
	must(t, os.WriteFile(tmp, []byte(text), 0o600))
	must(t, os.Rename(tmp, path))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// statusOf reads a status file. Once the file exists, it is a complete document at every moment.
func statusOf(t *testing.T, path string) (status spoolgore.Status) {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	must(t, err)
	must(t, json.Unmarshal(text, &status))
	return status
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// configured writes a configuration file and returns its path.
func configured(t *testing.T, lines ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "spoolgore.conf")
	must(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}
