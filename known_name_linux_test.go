package spoolgore

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
)

// A program uses one file name for all its mail: it waits until the file is gone and uses the name again at once.
func TestNameUsedAgainIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F9", func(t *testing.T) error {
		const times = 200
		dir := t.TempDir()
		var mu sync.Mutex
		sent := 0
		count := func() int { mu.Lock(); defer mu.Unlock(); return sent }
		relay := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			mu.Lock()
			defer mu.Unlock()
			sent++
			return make([]Result, len(tx.To))
		})
		s := New(dir, exact(Options{Transport: relay, Freq: time.Hour}))
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- s.Run(ctx) }()
		defer func() { cancel(); check(t, <-end) }()
		soon(t, "the spool is run", func() bool { return exists(dir, "tmp") && s.Health().Running })
		for n := range times {
			for began := time.Now(); exists(dir, "m"); {
				if time.Since(began) > 20*time.Second {
					return fmt.Errorf("message %d under the name is not noticed: %s", n, filepath.Join(dir, "m"))
				}
			}
			drop(t, dir, "m", to("b@x.org"))
		}
		soon(t, "the last message is sent", func() bool { return count() >= times && !exists(dir, "m") })
		return nil
	})
}
