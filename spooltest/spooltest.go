// Package spooltest tests programs that send mail with a spoolgore.Spool: without a network, in the virtual time of
// testing/synctest, with relays and disks that fail as the test wants.
//
//	synctest.Test(t, func(t *testing.T) {
//		spool := spooltest.New(t, spoolgore.Options{})
//		spool.Transport.Script("ann@example.org", spooltest.Later("mailbox full"))
//		invite(spool.Spool, "ann@example.org") // the program under test
//		spool.Advance(time.Hour)
//		if sent := spool.Transport.Sent(); len(sent) != 1 { t.Error(sent) }
//	})
//
// [New] runs a spool in a temporary directory until the test ends. Its [Recorder] accepts every message and records it,
// unless the test has scripted other outcomes. A [Relay] in place of the Recorder speaks SMTP over a pipe, so that the
// whole way to a relay is tested. A [Disk] fails. Everything works outside of a testing/synctest bubble, too, where
// time is real.
package spooltest

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unbit/spoolgore"
)

// Spool is a spool that runs until the test ends.
type Spool struct {
	*spoolgore.Spool
	Dir       string    // the spool directory, in t.TempDir
	Transport *Recorder // nil: the options have a Transport, SMTPAddr or Dial of their own
	Disk      *Disk

	t testing.TB
}

// New runs a spool with the options opts until the test ends. An error of Run fails the test. These options are set if
// they have no value: Transport to a Recorder (unless SMTPAddr or Dial is set), SMTPAddr, Logger to the output of the
// test, Backoff to n minutes after the n-th failure, at most 30, without jitter, Freq to a minute: a Put is noticed at
// once anyway. Watch is off in any case.
func New(t testing.TB, opts spoolgore.Options) *Spool {
	t.Helper()
	s := &Spool{Dir: t.TempDir(), Disk: &Disk{}, t: t}
	if opts.Transport == nil && opts.SMTPAddr == "" && opts.Dial == nil {
		s.Transport = &Recorder{}
		opts.Transport = s.Transport
	}
	if opts.SMTPAddr == "" {
		opts.SMTPAddr = "relay.test:25"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if opts.Backoff == nil {
		opts.Backoff = func(attempts int) time.Duration { return time.Duration(min(attempts, 30)) * time.Minute }
	}
	if opts.Freq == 0 {
		opts.Freq = time.Minute
	}
	if opts.FailDisk == nil {
		opts.FailDisk = s.Disk.fail
	}
	opts.Watch = spoolgore.WatchOff
	s.Spool = spoolgore.New(s.Dir, opts)
	s.run()
	return s
}

// run runs the spool until the test ends.
func (s *Spool) run() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.t.Cleanup(func() {
		s.Disk.Repair() // or Run would wait for the disk
		stop()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
}

// idlePause is the time between two looks of WaitIdle.
const idlePause = time.Millisecond

// idleLimit is the time after which WaitIdle gives up.
const idleLimit = 2 * time.Minute

// WaitIdle returns when no message is to be sent now: each was delivered, given up or held, or waits for a later time.
// WaitIdle fails the test after two minutes, as when the disk fails all the time.
func (s *Spool) WaitIdle() {
	s.t.Helper()
	for end := time.Now().Add(idleLimit); !s.idle(); time.Sleep(idlePause) {
		if time.Now().After(end) {
			s.t.Fatalf("spooltest: the spool is not idle: %+v %+v", s.Health(), s.Status())
		}
	}
}

// idle reports whether the spool has no work now.
func (s *Spool) idle() bool {
	health, status := s.Health(), s.Status()
	if !health.Running || health.InFlight > 0 || health.Files != len(status) || !s.knowsAll(status) {
		return false
	}
	now := time.Now()
	for _, m := range status {
		if !m.Held.IsZero() {
			continue
		}
		waits := m.Error != ""
		for _, list := range [][]spoolgore.Recipient{m.To, m.Cc, m.Bcc} {
			for _, r := range list {
				waiting := r.Status == spoolgore.StateWaiting
				if r.Status == spoolgore.StateInProgress || waiting && !r.NextAttempt.After(now) {
					return false
				}
				waits = waits || waiting
			}
		}
		if !waits { // to be removed, or moved to failed/
			return false
		}
	}
	return true
}

// knowsAll reports whether every message file in the directory is in status, and every report is made. Put returns
// before Run has seen the file.
func (s *Spool) knowsAll(status spoolgore.Status) bool {
	files, err := os.ReadDir(s.Dir)
	for _, f := range files {
		if _, known := status[filepath.Join(s.Dir, f.Name())]; !known && f.Type().IsRegular() && f.Name()[0] != '.' {
			return false
		}
	}
	return err == nil && !s.owesReport()
}

// owesReport reports whether a report about a failed message is still to be made.
func (s *Spool) owesReport() bool {
	marks, err := filepath.Glob(filepath.Join(s.Dir, "failed", ".untold-*"))
	return err != nil || len(marks) > 0
}

// Advance lets the time d pass and then waits until the spool is idle. In a testing/synctest bubble that takes no time.
func (s *Spool) Advance(d time.Duration) {
	s.t.Helper()
	time.Sleep(d)
	s.WaitIdle()
}

// Test is synctest.Test with a spool: time is virtual, and starts at midnight UTC 2000-01-01.
func Test(t *testing.T, opts spoolgore.Options, f func(t *testing.T, s *Spool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, New(t, opts)) })
}
