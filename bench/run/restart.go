//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/unbit/spoolgore/bench/sink"
	"github.com/unbit/spoolgore/internal/record"
)

const (
	dueEach     = 1000 // restart: one message in so many is due
	restartNews = 100  // messages dropped while the daemon starts
)

// restart measures the start of the daemon with a long queue of deferred messages: the time to the first acceptance of
// a due one and to that of messages that come meanwhile, and the peak of memory. With each 1 all messages are due, and
// the measurement ends after some of them.
func restart(each int) func(*scenario, *config, *env, *sinkProc, peer) (result, error) {
	return func(s *scenario, c *config, e *env, relay *sinkProc, p peer) (result, error) {
		if err := deferredSpool(spool(e), s.load, each); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := spoolgoreStart(e, 0); err != nil {
			return nil, err
		}
		began, err := dropNews(e, s.load, sender, 50*time.Millisecond)
		if err != nil {
			return nil, err
		}
		due := min(s.load.n/each, 20_000)
		if _, err := relay.await(c.limit, due+restartNews); err != nil {
			return nil, err
		}
		all := time.Since(start)
		if each > 1 {
			if _, err := settle(c, e); err != nil {
				return nil, err
			}
		}
		rest := e.cell.use()
		peak, err := peakRSS(e)
		if err != nil {
			return nil, err
		}
		stop := time.Now()
		cpu, _, err := e.end()
		if err != nil {
			return nil, err
		}
		took := time.Since(stop)
		row, err := restartRow(s.load.n, start, all, began, rest, peak, cpu, relay)
		return append(row,
			value{"stop s", took.Seconds(), 1}, value{"stop CPU s", (cpu - rest.cpu).Seconds(), 1}), err
	}
}

func restartRow(
	n int, start time.Time, all time.Duration, began []int64, rest usage, peak int64, cpu time.Duration,
	relay *sinkProc,
) (result, error) {
	var sum sink.Summary
	if err := relay.ask("summary", &sum); err != nil {
		return nil, err
	}
	var accepted []int64
	if err := relay.ask("times", &accepted); err != nil {
		return nil, err
	}
	var taken, done []int64 // of the new messages that were accepted before the end
	for i, at := range accepted[min(n, len(accepted)):] {
		if at > 0 {
			taken, done = append(taken, began[i]), append(done, at)
		}
	}
	row := result{
		{"messages", float64(n), 0},
		{"first delivery s", time.Duration(sum.FirstMail - start.UnixNano()).Seconds(), 2},
		{"all due s", all.Seconds(), 1},
		{"new: accepted", float64(len(done)), 0},
		{"peak RSS MiB", float64(peak) / mib, 0},
		{"RSS MiB", float64(rest.rss) / mib, 0},
		{"CPU s", cpu.Seconds(), 1},
		{"twice", float64(sum.Duplicates), 0},
	}
	if news := spans(taken, done); len(news) > 0 {
		row = append(row, value{"new: p50 ms", news[len(news)/2], 0}, value{"new: slowest ms", news[len(news)-1], 0})
	}
	return row, nil
}

// dropNews renames messages of a sender into the spool, with a pause after each. They have the numbers after those of
// the load. It returns when each rename began.
func dropNews(e *env, l load, from string, pause time.Duration) (began []int64, err error) {
	for n := l.n; n < l.n+restartNews; n++ {
		began = append(began, time.Now().UnixNano())
		tmp := filepath.Join(spool(e), "tmp", strconv.Itoa(n))
		text := bytes.Replace(l.message(n), []byte(sender), []byte(from), 1)
		if err := os.WriteFile(tmp, text, 0o600); err != nil {
			return nil, err
		}
		if err := os.Rename(tmp, filepath.Join(spool(e), strconv.Itoa(n)+".eml")); err != nil {
			return nil, err
		}
		time.Sleep(pause)
	}
	return began, nil
}

// peakRSS returns the highest RSS that a process of the peer had.
func peakRSS(e *env) (peak int64, err error) {
	for _, p := range family(e.cell.cmd.Process.Pid)[1:] {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
		if err != nil {
			return 0, err
		}
		peak = max(peak, kilobytes(text, "\nVmHWM:"))
	}
	return peak, nil
}

// deferredSpool writes l as a spool that a daemon has left: each message was tried once, and waits. One message in each
// is due now, the others in six hours.
func deferredSpool(dir string, l load, each int) error {
	for _, sub := range []string{"tmp", "failed", "hold"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(filepath.Join(dir, ".spoolgore.js"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	status := record.NewStatusEncoder(out, l.n)
	for n := range l.n {
		path := filepath.Join(dir, fmt.Sprintf("%07d.eml", n))
		if err := os.WriteFile(path, l.message(n), 0o600); err != nil {
			return err
		}
		fi, err := os.Stat(path)
		if err != nil {
			return err
		}
		next := time.Now().Add(6 * time.Hour)
		if n%each == 0 {
			next = time.Now()
		}
		if err := status.Add(path, deferred(n, fi, next)); err != nil {
			return err
		}
	}
	if err := status.Close(); err != nil {
		return err
	}
	return out.Flush()
}

// deferred returns the record of message n in the file fi, which a relay has refused once for now.
func deferred(n int, fi os.FileInfo, next time.Time) *record.Message {
	a := record.Attempt{
		Time: fi.ModTime().Add(time.Millisecond), Relay: "relay.example.org:587", Reply: "451 4.7.1 try again later",
		Error: "RCPT: 451 4.7.1 try again later",
	}
	stat := fi.Sys().(*syscall.Stat_t)
	return &record.Message{
		From: sender, Attempts: 1, Enqueued: fi.ModTime(), Size: fi.Size(), Modified: fi.ModTime(), Inode: stat.Ino,
		MessageID: fmt.Sprintf("<%d@bench.test>", n), UID: strconv.Itoa(int(stat.Uid)),
		To: []record.Recipient{{
			Address: recipient, Attempts: 1, NextAttempt: next, Error: a.Error, Relay: a.Relay, LastAttempt: a.Time,
			History: &record.History{First: a, Last: a},
		}},
		Cc: []record.Recipient{}, Bcc: []record.Recipient{},
	}
}
