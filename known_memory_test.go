package spoolgore

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
)

// heap returns the bytes that are in use after a garbage collection.
func heap() int64 {
	runtime.GC()
	runtime.GC() // a second collection frees what the first one left in pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// This test and the next one are not parallel: no other test may use memory.
func TestMemoryOfFormerDirectoriesIsBounded(t *testing.T) {
	known.Fault(t, "F20", known.Bubble(func(t *testing.T) error {
		const messages, swaps = 40, 12
		base := t.TempDir()
		dir, other := filepath.Join(base, "spool"), filepath.Join(base, "other")
		check(t, os.Mkdir(dir, 0o700))
		check(t, os.Mkdir(other, 0o700))
		long := strings.Repeat("x", 900)
		for i := range messages {
			drop(t, dir, fmt.Sprint(i), strings.Replace(to("b@x.org"), "<1@", fmt.Sprintf("<%d%s@", i, long), 1))
		}
		relay := &ledger{answer: func(string, string, int) error { return errLater }}
		_, stop := start(t, dir, Options{Transport: relay, Freq: time.Second, Backoff: seldom})
		pass(5 * time.Second)
		if n := len(relay.offered); n != messages {
			t.Fatalf("%d messages were tried, want %d", n, messages)
		}
		swap := func() { // the directory goes away and comes back, as with an automounter
			check(t, os.Rename(dir, dir+".x"))
			check(t, os.Rename(other, dir))
			check(t, os.Rename(dir+".x", other))
			pass(3 * time.Second)
		}
		swap()
		swap() // memory for one absence may stay
		before := heap()
		for range swaps {
			swap()
			swap()
		}
		grown := heap() - before
		stop()
		if all := int64(messages * len(long)); grown > 2*all {
			return fmt.Errorf("after %d absences of a directory with %d KiB of records the heap has grown by %d KiB",
				swaps, all>>10, grown>>10)
		}
		return nil
	}))
}

func TestMemoryForLongMessageIDIsBounded(t *testing.T) {
	known.Fault(t, "F23", known.Bubble(func(t *testing.T) error {
		const messages, length = 8, 300 << 10
		dir := t.TempDir()
		id := strings.Repeat(strings.Repeat("x", 70)+"\n ", length/72)
		relay := &ledger{answer: func(string, string, int) error { return errLater }}
		_, stop := start(t, dir, Options{Transport: relay, Freq: time.Second, Backoff: seldom})
		pass(5 * time.Second)
		before := heap()
		for i := range messages {
			drop(t, dir, fmt.Sprint(i), strings.Replace(to("b@x.org"), "<1@", fmt.Sprintf("<%d%s@", i, id), 1))
		}
		pass(10 * time.Second)
		if n := len(relay.offered); n != messages {
			t.Fatalf("%d messages were tried, want %d", n, messages)
		}
		grown := heap() - before
		stop()
		if most := int64(messages * 64 << 10); grown > most {
			return fmt.Errorf("%d messages with a Message-ID of %d KiB take %d KiB of memory, want at most %d",
				messages, length>>10, grown>>10, most>>10)
		}
		return nil
	}))
}
