package spoolgore

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
)

// A pairing is a Transport that accepts everything, and gives a second daemon time to offer the same message.
type pairing struct {
	mu     sync.Mutex
	offers map[string]int           // by file
	second map[string]chan struct{} // closed at the second offer of a file
}

// Deliver accepts a message at its second offer, or when there was none for a while.
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

// The lock file is removed by hand and a second daemon is started. One of the two has to stop, and no message may
// be sent by both. In real time: the daemons are told of new files by the system, and hardly ever look at the
// directory.
func TestLockFileRemovedLeavesOneDaemon(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F13", func(t *testing.T) error {
		dir, relay := t.TempDir(), &pairing{offers: map[string]int{}, second: map[string]chan struct{}{}}
		ctx, cancel := context.WithCancel(t.Context())
		run := func() (end chan error) {
			log := &lines{}
			s := New(dir, exact(Options{Transport: relay, Freq: time.Hour,
				Logger: slog.New(slog.NewTextHandler(log, nil))}))
			end = make(chan error, 1)
			go func() { end <- s.Run(ctx) }()
			soon(t, "the daemon runs", func() bool { return strings.Contains(log.String(), "msg=started") })
			return end
		}
		send := func(name string) {
			drop(t, dir, name, to("b@x.org"))
			soon(t, name+" is sent", func() bool { return !exists(dir, name) })
		}
		first := run()
		send("first")
		check(t, os.Remove(filepath.Join(dir, ".spoolgore.lock")))
		second := run()
		for i := 0; i < 10 && len(first)+len(second) == 0; i++ {
			send(fmt.Sprint("warm", i)) // a daemon may need a few notices to find out
		}
		twice := 0
		const messages = 3
		for i := range messages {
			send(fmt.Sprint("m", i))
			if relay.count(fmt.Sprint("m", i)) > 1 {
				twice++
			}
		}
		alive := 2 - len(first) - len(second)
		cancel()
		<-first
		<-second
		if twice > 0 || alive != 1 {
			return fmt.Errorf("%d daemons run on one spool, and %d of %d messages were sent twice",
				alive, twice, messages)
		}
		return nil
	})
}
