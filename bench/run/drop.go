//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// A view is how a program sees sendmail.
type view struct {
	root   string   // directory of unpacked packages (see startCell); empty: none
	before string   // shell commands before the first call
	args   []string // the call
}

// dropped is one call of sendmail, in milliseconds.
type dropped struct{ Wall, CPU float64 }

// drop measures the wait of a program that calls sendmail: from the start of the process to its end, one call after the
// other, without a daemon.
func drop(s *scenario, c *config, e *env, _ *sinkProc, p peer) (result, error) {
	if p.sendmail == nil {
		return nil, errors.New("it has no sendmail command")
	}
	v, err := p.sendmail(e)
	if err != nil {
		return nil, err
	}
	message, times := filepath.Join(e.dir, "message"), filepath.Join(e.dir, "times")
	if err := os.WriteFile(message, s.load.message(0), 0o644); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	calling := append([]string{self, "drop", times, message, strconv.Itoa(s.load.n)}, v.args...)
	if err := e.start(v.root, append([]string{"sh", "-c", v.before + `exec "$0" "$@"`}, calling...)...); err != nil {
		return nil, err
	}
	var calls []dropped
	for end := time.Now().Add(c.limit); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(times)
		if err == nil {
			err = json.Unmarshal(text, &calls)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || time.Now().After(end) {
			return nil, fmt.Errorf("its calls did not end: %w", err)
		}
	}
	if _, _, err := e.end(); err != nil {
		return nil, err
	}
	var wall, cpu []float64
	for _, d := range calls {
		wall, cpu = append(wall, d.Wall), append(cpu, d.CPU)
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	n := len(calls)
	return result{
		{"calls", float64(n), 0}, {"min ms", wall[0], 2}, {"p50 ms", wall[n/2], 2}, {"p90 ms", wall[n*9/10], 2},
		{"CPU ms p50", cpu[n/2], 2},
	}, nil
}

// runDrop calls args n times with the message on standard input, in the file system of a cell. It writes the results to
// the file times.
func runDrop(times, message, n string, args []string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	var calls []dropped
	for range count {
		f, err := os.Open(message)
		if err != nil {
			return err
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin, cmd.Stderr = f, os.Stderr
		begun := time.Now()
		err = cmd.Run()
		wall := time.Since(begun)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() // including its children
		calls = append(calls, dropped{ms(wall), ms(cpu)})
	}
	text, err := json.Marshal(calls)
	if err == nil {
		err = os.WriteFile(times+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(times+".new", times)
	}
	return err
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// The sendmail of each peer, with a spool of its own.

func spoolgoreSendmail(e *env) (view, error) {
	if err := os.MkdirAll(filepath.Join(spool(e), "tmp"), 0o755); err != nil {
		return view{}, err
	}
	return view{
		before: "export SPOOLGORE_DIR='" + spool(e) + "'; ",
		args:   []string{e.conf.shim, "-i", "-f", sender, recipient},
	}, nil
}

func postfixSendmail(e *env) (view, error) {
	if err := postfixConfigure(e, 0, "", fmt.Sprintf(postfixServices, "0")); err != nil {
		return view{}, err
	}
	etc := filepath.Join(e.dir, "etc")
	check := exec.Command("postfix", "-c", etc, "check") // makes the queue
	check.Stderr = e.log
	if err := check.Run(); err != nil {
		return view{}, fmt.Errorf("make the queue of Postfix: %w", err)
	}
	return view{args: []string{"/usr/sbin/sendmail", "-C", etc, "-i", "-f", sender, recipient}}, nil
}

func nullmailerSendmail(e *env) (view, error) {
	dir := filepath.Join(e.dir, "nullmailer")
	for _, sub := range []string{"queue", "tmp", "failed"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return view{}, err
		}
		if err := os.Chmod(filepath.Join(dir, sub), 0o777); err != nil { // the command changes to a user of its own
			return view{}, err
		}
	}
	mailname := filepath.Join(e.conf.peersRoot, "etc", "mailname")
	if err := os.MkdirAll(filepath.Dir(mailname), 0o755); err != nil {
		return view{}, err
	}
	if err := os.WriteFile(mailname, []byte("bench.test\n"), 0o644); err != nil {
		return view{}, err
	}
	return view{
		root:   e.conf.peersRoot,
		before: "mount --bind " + e.dir + " /var/spool && mkfifo -m 666 /var/spool/nullmailer/trigger && ",
		args:   []string{"nullmailer-inject", "-f", sender, recipient},
	}, nil
}
