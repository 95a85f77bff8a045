//go:build unix

package history

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is the limit for an event. It is long, as the machine may be busy.
const patience = 3 * time.Minute

// commands returns the directory with the two commands, which are built once.
var commands = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "history")
	if err != nil {
		return "", err
	}
	built.Store(dir)
	args := []string{"build", "-o", dir}
	if raced {
		args = append(args, "-race")
	}
	const module = "github.com/unbit/spoolgore"
	build := exec.Command("go", append(args, module+"/cmd/spoolgore", module+"/cmd/sendmail-spool")...)
	if text, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build the commands: %w\n%s", err, text)
	}
	return dir, nil
})

// TestMain removes the commands at the end.
func TestMain(m *testing.M) {
	code := m.Run()
	if dir, is := built.Load().(string); is {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// built is the directory of the commands; nil: not built.
var built atomic.Value

// A line is one line of a daemon's log.
type line struct {
	Time                             time.Time
	Level, Msg, File, From, To, Name string
	Err, Reply, Path, Action         string
	text                             string // the line itself
}

// A daemon is one process of cmd/spoolgore.
type daemon struct {
	n      int
	cmd    *exec.Cmd
	exited chan struct{}
	killed bool // not ended by SIGTERM: transactions in flight may be repeated
	code   int

	mu    sync.Mutex
	rest  []byte // the beginning of an incomplete line
	lines []line
}

// launch starts the n-th daemon of a history.
func launch(commands string, n int, config, spool string) (*daemon, error) {
	d := &daemon{n: n, exited: make(chan struct{})}
	d.cmd = exec.Command(filepath.Join(commands, "spoolgore"), "-config", config, "-logjson",
		"-localname", fmt.Sprintf("n%d.lab.test", n), spool)
	// otherwise the daemon executes itself again, so that its runtime sends it no SIGURG
	d.cmd.Env = environment("GODEBUG=asyncpreemptoff=1")
	d.cmd.Stderr = d
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = d.cmd.Wait()
		d.code = d.cmd.ProcessState.ExitCode()
		close(d.exited)
	}()
	return d, nil
}

// environment returns the environment of the test without variables that configure the commands or Go, plus more.
func environment(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "SPOOLGORE_") || name == "GODEBUG" || name == "XDG_CONFIG_HOME"
	})
	return append(env, more...)
}

// Write adds to the log.
func (d *daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rest = append(d.rest, p...)
	for {
		at := slices.Index(d.rest, '\n')
		if at < 0 {
			return len(p), nil
		}
		l := line{text: string(d.rest[:at])}
		d.rest = d.rest[at+1:]
		if json.Unmarshal([]byte(l.text), &l) != nil {
			l.Level = "PANIC" // of a panic or of the race detector
		}
		d.lines = append(d.lines, l)
	}
}

// log returns the lines so far.
func (d *daemon) log() []line {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// said returns the number of lines with the message.
func (d *daemon) said(msg string) int { return d.count(func(l *line) bool { return l.Msg == msg }) }

// heard returns how often the log has the signal.
func (d *daemon) heard(name string) int {
	return d.count(func(l *line) bool { return l.Msg == "signal" && l.Name == name })
}

func (d *daemon) count(is func(*line) bool) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.lines {
		if is(&d.lines[i]) {
			n++
		}
	}
	return n
}

func (d *daemon) running() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

func (d *daemon) signal(sig syscall.Signal) error { return d.cmd.Process.Signal(sig) }

// wait waits until the process has ended.
func (d *daemon) wait() error {
	select {
	case <-d.exited:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("daemon %d does not end", d.n)
	}
}

// kill ends the process at once.
func (d *daemon) kill() error {
	d.killed = true
	_ = d.signal(syscall.SIGKILL)
	return d.wait()
}

// eventually waits until so returns true. It calls so every few milliseconds.
func eventually(what string, so func() bool) error {
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("not within %v: %s", patience, what)
		}
	}
	return nil
}

// run runs a command to its end and returns its output.
func run(input []byte, env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	cmd.Stdin = strings.NewReader(string(input))
	text, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(text)), err
}
