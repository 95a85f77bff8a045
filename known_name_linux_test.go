package spoolgore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
)

// A program has one name for its mail: it waits until the file is gone and uses the name again at once. The notice
// comes before the result of the delivery, which is a race, so it is tried until that is seen.
func TestNameUsedAgainIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F9", func(t *testing.T) error {
		for n := range 80 {
			if lost := useNameAgain(t, n); lost != nil {
				return lost
			}
		}
		return nil
	})
}

// useNameAgain keeps the loop busy while a message is removed and another one takes its name.
func useNameAgain(t *testing.T, n int) (lost error) {
	dir := t.TempDir()
	blocked, goOn := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	sent := map[string]int{}
	count := func(file string) int { mu.Lock(); defer mu.Unlock(); return sent[file] }
	relay := transportFunc(func(_ context.Context, tx *Transaction) []Result {
		if tx.Name == "m" && count("m") == 0 {
			drop(t, dir, "blocker", to("blocker@x.org"))
			<-blocked // the loop does nothing from here on
			// The watcher waits with the notice of this file at the loop, and then has all later ones at once.
			drop(t, dir, "another", to("another@x.org"))
			time.Sleep(5 * time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		sent[tx.Name]++
		return make([]Result, len(tx.To))
	})
	var once sync.Once
	onEvent := func(ev Event) {
		if ev.File == "blocker" && ev.Kind == Queued {
			once.Do(func() { close(blocked); <-goOn })
		}
	}
	s := New(dir, exact(Options{Transport: relay, Freq: time.Hour, OnEvent: onEvent}))
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx) }()
	defer func() { cancel(); check(t, <-end) }()
	check(t, os.MkdirAll(filepath.Join(dir, "tmp"), 0o700))
	drop(t, dir, "m", to("b@x.org"))
	soon(t, "m is sent and removed", func() bool { return count("m") == 1 && !exists(dir, "m") })
	drop(t, dir, "m", to("b@x.org"))
	drop(t, dir, "marker", to("marker@x.org"))
	close(goOn)
	soon(t, "the marker is sent", func() bool { return count("marker") == 1 && !exists(dir, "marker") })
	// What came before the marker has been noticed before it. A message that was is sent, or in the status.
	if _, queued := s.Status()[filepath.Join(dir, "m")]; count("m") == 1 && exists(dir, "m") && !queued {
		return fmt.Errorf("the second message under the name is not noticed (try %d)", n+1)
	}
	return nil
}
