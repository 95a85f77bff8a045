//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// A cell is a process that starts a peer and is the parent of all its processes, daemons included: their usage is
// exact, and none is left when the cell ends.
type cell struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader

	stop chan struct{}
	done sync.WaitGroup
	mu   sync.Mutex
	peak usage // cpu is unused
}

// cellReport is the last output of a cell.
type cellReport struct {
	CPU time.Duration // of all processes of the cell
}

// startCell starts args in a cell. If root is not empty, it is a directory with usr/ and etc/ that are laid over those
// of the host, for the cell alone.
func startCell(root string, log *os.File, args ...string) (*cell, error) {
	c := &cell{stop: make(chan struct{})}
	c.cmd = exec.Command("/proc/self/exe", append([]string{"cell", root}, args...)...)
	c.cmd.Stderr = log
	if root != "" {
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.stdin, c.out = stdin, bufio.NewReader(stdout)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a cell: %w", err)
	}
	c.done.Go(c.watch)
	return c, nil
}

// use returns the usage of the running processes of the cell.
func (c *cell) use() usage { return use(c.cmd.Process.Pid) }

// watch records peaks of memory: every 50 ms, or less often if looking takes long.
func (c *cell) watch() {
	pause := 50 * time.Millisecond
	for {
		select {
		case <-c.stop:
			return
		case <-time.After(pause):
		}
		before := time.Now()
		c.note(c.use())
		pause = max(50*time.Millisecond, 30*time.Since(before))
	}
}

func (c *cell) note(u usage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peak.rss, c.peak.pss = max(c.peak.rss, u.rss), max(c.peak.pss, u.pss)
	c.peak.processes = max(c.peak.processes, u.processes)
}

// restart forgets the peaks of memory, and returns the CPU time used so far.
func (c *cell) restart() time.Duration {
	u := c.use()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peak = usage{}
	return u.cpu
}

// peaks returns the peaks of memory noted so far.
func (c *cell) peaks() usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peak
}

// end stops all processes of the cell and returns their CPU time.
func (c *cell) end() (time.Duration, error) {
	close(c.stop)
	c.done.Wait()
	c.stdin.Close()
	var report cellReport
	err := json.NewDecoder(c.out).Decode(&report)
	if werr := c.cmd.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return 0, fmt.Errorf("end a cell: %w", err)
	}
	return report.CPU, nil
}

// runCell is the process of a cell. At the end of standard input it stops all processes of the cell.
func runCell(root string, args []string) error {
	const prSetChildSubreaper = 36 // orphans become children of this process: prctl(2)
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("become the parent of orphans: %w", errno)
	}
	if err := overlay(root); err != nil {
		return err
	}
	// signals for the whole group end this process last
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM)
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	p, err := os.StartProcess(path, args, &os.ProcAttr{Files: []*os.File{null, os.Stderr, os.Stderr}})
	if err != nil {
		return err
	}
	p.Release()
	closing := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(closing)
	}()
	return json.NewEncoder(os.Stdout).Encode(cellReport{CPU: reap(closing)})
}

// overlay lays usr and etc of root over those of the host, for this process and its children.
func overlay(root string) error {
	if root == "" {
		return nil
	}
	for _, dir := range []string{"/usr", "/etc"} {
		if err := syscall.Mount("overlay", dir, "overlay", 0, "lowerdir="+root+dir+":"+dir); err != nil {
			return fmt.Errorf("lay %s over %s: %w", root+dir, dir, err)
		}
	}
	return nil
}

// reap waits for all children until closing is closed, then stops the others. It returns their CPU time.
func reap(closing <-chan struct{}) time.Duration {
	var cpu time.Duration
	sig, next := syscall.SIGTERM, time.Time{}
	for {
		var ru syscall.Rusage
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, &ru)
		switch {
		case pid > 0:
			cpu += time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
			continue
		case err == syscall.ECHILD && isClosed(closing):
			return cpu
		}
		if isClosed(closing) && time.Now().After(next) {
			for _, p := range family(os.Getpid())[1:] {
				syscall.Kill(p.pid, sig)
			}
			if !next.IsZero() {
				sig = syscall.SIGKILL
			}
			next = time.Now().Add(5 * time.Second)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
