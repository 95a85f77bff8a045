package spoolgore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// creating returns the options of exact with Options.Create, for a relay that accepts everything.
func creating(opts Options) Options {
	opts.Create, opts.Watch, opts.Dial = true, WatchOff, new(smtptest.Relay).Dial
	return exact(opts)
}

func TestCreateMakesTheDirectory(t *testing.T) {
	for name, use := range map[string]func(*Spool) error{
		"Put":   func(s *Spool) error { return s.Send("a@example.com", []string{"b@example.org"}, []byte(simple)) },
		"Drain": func(s *Spool) error { return s.Drain(t.Context()) },
		"Run": func(s *Spool) error {
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			return s.Run(ended)
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			dir := filepath.Join(t.TempDir(), "spool")
			is.NoErr(use(New(dir, creating(Options{}))))
			fi, err := os.Stat(dir)
			is.NoErr(err)
			is.Equal(fi.Mode(), fs.ModeDir|0o700) // only the owner may read mail
			for _, place := range []string{"away/spool", "other"} {
				opts := creating(Options{})
				opts.Create = place != "other" // without Create, or without a parent directory, Run makes no directory
				path := filepath.Join(t.TempDir(), place)
				is.True(errors.Is(use(New(path, opts)), fs.ErrNotExist))
				is.True(!exists(path))
			}
		})
	}
}

// A directory that existed before may be on a file system that is not mounted now. A new directory in its place would
// hide its messages from the next mount.
func TestCreateMakesNoDirectoryAgain(t *testing.T) {
	t.Parallel()
	send := func(s *Spool) error { return s.Send("a@example.com", []string{"b@example.org"}, []byte(simple)) }
	for name, seen := range map[string]func(s *Spool, outside string) error{
		"put":     func(s *Spool, _ string) error { return send(s) },
		"drained": func(s *Spool, _ string) error { return s.Drain(t.Context()) },
		"known to a status file elsewhere": func(s *Spool, outside string) error {
			return os.WriteFile(outside, []byte("{}"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			mount, outside := filepath.Join(t.TempDir(), "mount"), filepath.Join(t.TempDir(), "status.js")
			dir := filepath.Join(mount, "spool")
			is.NoErr(os.MkdirAll(dir, 0o700))
			opts := creating(Options{})
			if strings.Contains(name, "status") {
				opts.StatusFile = outside
			}
			s := New(dir, opts)
			is.NoErr(seen(s, outside))
			is.NoErr(os.Rename(dir, filepath.Join(t.TempDir(), "unmounted")))
			is.True(errors.Is(send(s), fs.ErrNotExist))
			is.True(errors.Is(s.Drain(t.Context()), fs.ErrNotExist))
			is.True(!exists(dir))
		})
	}
}

func TestCreateWhileTheSpoolDirectoryIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		mount := t.TempDir()
		dir := filepath.Join(mount, "spool")
		s, stop := start(t, dir, creating(Options{}))
		pass(time.Second)
		is.NoErr(os.Rename(dir, filepath.Join(mount, "unmounted")))
		pass(time.Minute)
		is.True(s.Health().Away) // no directory is made, and no message is sent
		is.True(!exists(dir))
		is.NoErr(os.Rename(filepath.Join(mount, "unmounted"), dir))
		pass(time.Minute)
		is.True(!s.Health().Away)
		stop()
	})
}

func TestWaitLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, log := t.TempDir(), &bytes.Buffer{}
		_, stopOld := start(t, dir, creating(Options{}))
		pass(time.Second)
		is.True(errors.Is(New(dir, creating(Options{})).Run(t.Context()), ErrRunning)) // without WaitLock

		waiting := creating(Options{WaitLock: true})
		waiting.Logger = slog.New(slog.NewTextHandler(log, nil))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		next := New(dir, waiting)
		go func() { ended <- next.Run(ctx) }()
		pass(time.Hour)
		is.True(!next.Health().Running)                                  // the old daemon still runs
		is.Equal(strings.Count(log.String(), "waiting for the lock"), 1) // logged once
		_, err := next.Put(t.Context(), Envelope{From: "a@example.com", To: []string{"b@example.org"}}, strings.NewReader(simple))
		is.NoErr(err) // Put needs no lock
		stopOld()
		pass(time.Second)
		is.True(next.Health().Running)
		cancel()
		is.NoErr(<-ended)
	})
}

func TestWaitLockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		_, stop := start(t, dir, creating(Options{}))
		defer stop()
		pass(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := New(dir, creating(Options{WaitLock: true}))
		is.NoErr(s.Run(ctx))                         // a Run whose context ends while it waits returns no error
		is.True(errors.Is(s.Drain(ctx), ErrRunning)) // Drain has tried no message
		is.Equal(len(s.Status()), 0)
	})
}
