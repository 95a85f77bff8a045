package spoolgore

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// A delivered message costs few calls of the file system: it is found, read, sent and removed.
func TestDiskCallsPerMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		const messages = 200
		var mu sync.Mutex
		counts := make(map[string]int)
		opts := Options{
			Dial: (&smtptest.Relay{Ext: []string{"PIPELINING", "8BITMIME"}}).Dial,
			FailDisk: func(op, path string) error {
				mu.Lock()
				defer mu.Unlock()
				if !strings.HasPrefix(filepath.Base(path), ".spoolgore") {
					counts[op]++
				}
				return nil
			},
		}
		dir := t.TempDir()
		for i := range messages {
			drop(t, dir, fmt.Sprintf("m%03d", i), simple)
		}
		_, stop := start(t, dir, opts)
		pass(time.Minute)
		mu.Lock()
		got, all := maps.Clone(counts), 0
		mu.Unlock()
		stop()
		is.Equal(ls(t, dir, "failed"), nil)
		for _, n := range got {
			all += n
		}
		// A message that waits for a connection is opened a second time. How many do depends on the order of
		// goroutines.
		const again = 3 // calls: open, stat, read
		all -= again * (got["open"] - messages)
		t.Logf("%.2f calls for each message: %v", float64(all)/messages, got)
		is.True(all <= 9*messages+messages/10)
		is.True(got["sync"] <= messages/20) // many messages share a sync
	})
}
