//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/unbit/spoolgore"
)

// controls measures the commands of an operator on a long queue of which no message is due, and how long the loop
// cannot be reached while the queue is paused, reloaded and resumed.
func controls(s *scenario, c *config, e *env, _ *sinkProc, p peer) (result, error) {
	if p.later == nil {
		return nil, fmt.Errorf("no way to have its messages wait")
	}
	if err := p.later(e, s.load); err != nil {
		return nil, err
	}
	if _, err := settle(c, e); err != nil {
		return nil, err
	}
	row := result{{"messages", float64(s.load.n), 0}}
	early, _, _, err := timeCommand(c, "list", spool(e))
	if err != nil {
		return nil, err
	}
	row = append(row, value{"early list s", early.Seconds(), 2})
	if err := shown(c, e, s.load.n); err != nil {
		return nil, err
	}
	for _, command := range []string{"list", "stats", "check"} {
		took, first, rss, err := timeCommand(c, command, spool(e))
		if err != nil {
			return nil, err
		}
		row = append(row,
			value{command + " s", took.Seconds(), 2}, value{command + " RSS MiB", rss / mib, 1})
		if command == "list" {
			row = append(row, value{"first line s", first.Seconds(), 2})
		}
	}
	if _, _, err := e.end(); err != nil {
		return nil, err
	}
	r, rss, err := controlsOf(s, e)
	return append(row,
		value{"pause s", r.Pause, 2}, value{"reload s", r.Reload, 2}, value{"flush s", r.Flush, 2},
		value{"options s", r.Options, 2}, value{"slowest Health ms", r.Slowest, 1}, value{"RSS MiB", rss / mib, 0},
	), err
}

// controlsOf runs the spool in a process of its own. It returns the report and the peak of memory in bytes.
func controlsOf(s *scenario, e *env) (r controlsReport, rss float64, err error) {
	report := filepath.Join(e.dir, "controls")
	self, err := os.Executable()
	if err != nil {
		return r, 0, err
	}
	run := exec.Command(self, "controls", e.relay, spool(e), report, strconv.Itoa(s.load.n))
	run.Stderr = e.log
	if err := run.Run(); err != nil {
		return r, 0, fmt.Errorf("run the spool: %w", err)
	}
	text, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, float64(run.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) * 1024, err
}

// shown waits until the status file has n messages. After a burst most messages are not in the file yet, and list reads
// the headers of their files.
func shown(c *config, e *env, n int) error {
	for end := time.Now().Add(c.limit); time.Now().Before(end); time.Sleep(2 * time.Second) {
		if f, err := os.Open(filepath.Join(spool(e), ".spoolgore.js")); err == nil {
			found := members(f)
			f.Close()
			if found >= n {
				return nil
			}
		}
	}
	return fmt.Errorf("the status file has not all messages after %v", c.limit)
}

// members returns the number of members of a JSON object. It keeps nothing in memory: a command that is started has, at
// first, the memory of this process.
func members(r io.Reader) (n int) {
	d := json.NewDecoder(r)
	for _, err := d.Token(); err == nil && d.More(); n++ {
		var value struct{}
		if _, err = d.Token(); err == nil {
			err = d.Decode(&value)
		}
	}
	return n
}

// timeCommand runs a command of Spoolgore on a spool. It returns the time to its end and to its first byte, and the
// peak of memory in bytes.
func timeCommand(c *config, name, dir string) (took, first time.Duration, rss float64, err error) {
	cmd := exec.Command(c.spoolgore, name, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, 0, err
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		return 0, 0, 0, fmt.Errorf("%s: %w", name, err)
	}
	first = time.Since(start)
	if _, err := io.Copy(io.Discard, out); err != nil {
		return 0, 0, 0, err
	}
	cmd.Wait() // the exit code of check is a state of the spool
	rss = float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) * 1024
	return time.Since(start), first, rss, nil
}

// controlsReport has the durations of calls: in seconds, and of Health in milliseconds.
type controlsReport struct{ Pause, Reload, Flush, Options, Slowest float64 }

// runControls runs the spool in dir inside this process until n files are known, and pauses, reloads, resumes, flushes
// and reconfigures it. The durations go to the file report.
func runControls(relay, dir, report, n string) error {
	files, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	opts := spoolgore.Options{
		SMTPAddr: relay, LocalName: "bench.test", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	s := spoolgore.New(dir, opts)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for s.Health().Files < files {
		select {
		case err := <-ended:
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
	time.Sleep(5 * time.Second) // the first write of the status file
	r, err := measureControls(s, opts)
	stop()
	if runErr := <-ended; err == nil {
		err = runErr
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(report, text, 0o600)
}

// measureControls pauses, reloads, resumes and flushes s, and changes the options opts of s: a route, the age of
// messages and the recipients that are allowed. Meanwhile it calls Health every millisecond.
func measureControls(s *spoolgore.Spool, opts spoolgore.Options) (r controlsReport, err error) {
	quit := make(chan struct{})
	var calls sync.WaitGroup
	calls.Go(func() {
		for !isClosed(quit) {
			begun := time.Now()
			s.Health()
			r.Slowest = max(r.Slowest, ms(time.Since(begun)))
			time.Sleep(time.Millisecond)
		}
	})
	took := func(f func()) float64 {
		begun := time.Now()
		f()
		return time.Since(begun).Seconds()
	}
	r.Pause = took(s.Pause)
	r.Reload = took(func() { err = s.Reload() })
	s.Resume()
	r.Flush = took(s.Flush)
	time.Sleep(5 * time.Second)
	opts.Routes = []spoolgore.Route{{Sender: "other@bench.test", SMTPAddr: opts.SMTPAddr}}
	opts.MaxAge, opts.Rewrite.Allow = 7*24*time.Hour, []string{"*"}
	r.Options = took(func() { err = errors.Join(err, s.Reconfigure(opts)) })
	time.Sleep(10 * time.Second)
	close(quit)
	calls.Wait()
	return r, err
}
