package spoolgore

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// TestMemoryPerMessage counts what one message allocates on its way from the file to the acceptance. The test is not
// parallel: the counters are those of the process.
func TestMemoryPerMessage(t *testing.T) {
	if poolsLeak {
		return // the race detector allocates, too
	}
	is := is.New(t)
	// Measured: 10,600 to 11,000 bytes and 114 to 115 objects, more on a busy machine, where batches are smaller. It
	// was 9,700 and 101 before one file was examined for several messages and for loops, and before a message was
	// recognized under any name.
	const messages, maxBytes, maxObjects = 2000, 12_500, 130
	dir, old := t.TempDir(), time.Now().Add(-time.Hour)
	for i := range messages {
		name := filepath.Join(dir, fmt.Sprintf("%04d.eml", i))
		// messages with the same Message-ID are read a second time, to compare them
		text := strings.Replace(simple, "<1@", fmt.Sprintf("<%d@", i), 1)
		check(t, os.WriteFile(name, []byte(text), 0o600))
		check(t, os.Chtimes(name, old, old)) // old files are complete
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := New(dir, Options{Logger: log, Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
		_, err := io.Copy(io.Discard, tx.Content())
		return []Result{{Reply: "250 2.0.0 ok", Err: err}}
	})})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	is.NoErr(s.Drain(t.Context()))
	runtime.ReadMemStats(&after)
	bytes := int(after.TotalAlloc-before.TotalAlloc) / messages
	objects := int(after.Mallocs-before.Mallocs) / messages
	t.Logf("%d bytes in %d objects per message", bytes, objects)
	is.True(bytes <= maxBytes)
	is.True(objects <= maxObjects)
}
