package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"
)

// A pairing is a Transport that accepts everything. It waits for a second daemon to offer the same message.
type pairing struct {
	mu     sync.Mutex
	offers map[string]int           // by file
	second map[string]chan struct{} // closed at the second offer of a file
}

// Deliver accepts a message at its second offer, or after a while without a second offer.
func (p *pairing) Deliver(_ context.Context, tx *Transaction) []Result {
	p.mu.Lock()
	if p.offers[tx.Name]++; p.offers[tx.Name] == 1 {
		p.second[tx.Name] = make(chan struct{})
	} else {
		close(p.second[tx.Name])
	}
	second := p.second[tx.Name]
	p.mu.Unlock()
	select {
	case <-second:
	case <-time.After(200 * time.Millisecond):
	}
	return make([]Result, len(tx.To))
}

// count returns how often a file was offered.
func (p *pairing) count(file string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offers[file]
}

// startReal starts a daemon in real time. The daemon finds new files by notification and scans the directory rarely.
// When log contains "started", the daemon runs. The channel gets the result of Run.
func startReal(t *testing.T, ctx context.Context, dir string, relay Transport) (log *lines, end chan error) {
	log, end = &lines{}, make(chan error, 1)
	s := New(dir, exact(Options{Transport: relay, Freq: time.Hour, Logger: slog.New(slog.NewTextHandler(log, nil))}))
	go func() { end <- s.Run(ctx) }()
	return log, end
}

// An operator removes the lock file and starts a second daemon. The directory is locked as well, so the second daemon
// says that the first one runs, and the first daemon makes the lock file again.
func TestLockFileRemovedLeavesOneDaemon(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	dir, relay := t.TempDir(), &pairing{offers: map[string]int{}, second: map[string]chan struct{}{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	send := func(name string) {
		drop(t, dir, name, to("b@x.org"))
		soon(t, name+" is sent", func() bool { return !exists(dir, name) })
	}
	_, first := startReal(t, ctx, dir, relay)
	send("first")
	check(t, os.Remove(filepath.Join(dir, ".spoolgore.lock")))
	_, second := startReal(t, ctx, dir, relay)
	is.True(errors.Is(<-second, ErrRunning))
	for i := range 3 {
		send(fmt.Sprint("m", i))
		is.Equal(relay.count(fmt.Sprint("m", i)), 1)
	}
	is.True(exists(dir, ".spoolgore.lock"))
	is.Equal(len(first), 0)
	cancel()
	is.NoErr(<-first)
}

// Another program, which does not lock directories, replaces the lock file. The daemon ends.
func TestDaemonEndsWhenItsLockFileIsReplaced(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	dir, relay := t.TempDir(), &pairing{offers: map[string]int{}, second: map[string]chan struct{}{}}
	_, end := startReal(t, t.Context(), dir, relay)
	drop(t, dir, "first", to("b@x.org"))
	soon(t, "first is sent", func() bool { return !exists(dir, "first") })
	lock := filepath.Join(dir, ".spoolgore.lock")
	f, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	check(t, err)
	defer f.Close()
	check(t, unix.Flock(int(f.Fd()), unix.LOCK_EX)) // locked before the rename, or the daemon would lock the file again
	check(t, os.Rename(f.Name(), lock))
	drop(t, dir, "m", to("b@x.org"))
	is.True(errors.Is(<-end, ErrRunning))
	is.Equal(relay.count("m"), 0) // the message is left to the other program
	is.True(exists(dir, "m"))
}
