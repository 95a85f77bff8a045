package spoolgore

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys/fsystest"
)

// refuser is a relay that refuses all mail except reports. An attempt takes 10 ms.
type refuser struct {
	mu       sync.Mutex
	accepted map[string]int // reports, by the Message-ID that In-Reply-To names
}

func (r *refuser) Deliver(_ context.Context, tx *Transaction) []Result {
	time.Sleep(10 * time.Millisecond)
	results := make([]Result, len(tx.To))
	if tx.From != "" {
		for i := range results {
			results[i].Err = refused()
		}
		return results
	}
	text, _ := io.ReadAll(tx.Content())
	_, id, _ := strings.Cut(string(text), "In-Reply-To: ")
	id, _, _ = strings.Cut(id, "\r\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted[id]++
	return results
}

// A burst of refused messages needs at most 0.5 syncs a message, including those for the reports. A sync takes 5 ms, as
// on a disk, so that several messages wait for the next sync.
func TestRefusedMessagesShareSyncs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testRefusedMessagesShareSyncs)
}

func testRefusedMessagesShareSyncs(t *testing.T) {
	const messages, most = 400, 0.5
	is := is.New(t)
	disk, relay := fsystest.New(t.TempDir()), &refuser{accepted: make(map[string]int)}
	for i := range messages {
		drop(t, disk.Path("."), fmt.Sprintf("m%d", i),
			fmt.Sprintf("From: a@x.org\nTo: no%d@y.org\nMessage-ID: <%d@x.org>\n\nhello\n", i, i))
	}
	disk.Fail = func(kind, _ string) error {
		if kind == fsystest.Sync || kind == fsystest.SyncDir || kind == fsystest.SyncAll {
			time.Sleep(5 * time.Millisecond)
		}
		return nil
	}
	s := newOn(disk.Path("."), telling(Options{Transport: relay}), disk)
	s.opts.Watch = WatchOff
	is.NoErr(s.Drain(t.Context()))
	counts := make(map[string]int)
	for _, op := range disk.Ops() {
		counts[op.Kind]++
	}
	failed := 0
	for _, name := range ls(t, disk.Path("."), "failed") {
		if !strings.HasSuffix(name, ".json") {
			failed++
		}
	}
	is.Equal(failed, messages) // all are in failed/
	for i := range messages {
		is.Equal(relay.accepted[fmt.Sprintf("<%d@x.org>", i)], 1) // one report for each message
	}
	files, directories, all := counts[fsystest.Sync], counts[fsystest.SyncDir], counts[fsystest.SyncAll]
	ratio := float64(files+directories+all) / messages
	t.Logf("%d of files, %d of directories, %d of the file system: %.3f a message", files, directories, all, ratio)
	is.True(files > 0)     // the recorder counts syncs
	is.True(ratio <= most) // syncs of all kinds
}
