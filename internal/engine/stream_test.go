package engine

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// longEngine returns an engine with so many messages that a write of the status file takes them in parts.
func longEngine(t *testing.T) (e *Engine, names []string) {
	e = newEngine(t, nil)
	now := time.Now()
	for i := range longQueue + 1 {
		name := fmt.Sprintf("%05d.eml", i)
		m := &record.Message{
			From: "a@x.org", Enqueued: now, Size: 9, Modified: now, Inode: uint64(i + 1), MessageID: "<" + name + "@x>",
			To: []record.Recipient{{Address: "b@x.org", Attempts: 1, NextAttempt: now.Add(time.Hour)}},
		}
		e.spool.queue.Remember(name, m, now)
		names = append(names, name)
	}
	e.status.changed = true
	return e, names
}

// written returns the names in the status file, in its order.
func written(t *testing.T, e *Engine) (names []string) {
	t.Helper()
	check(t, ReadStatus(e.spool.dir, e.spool.status, func(key string, m *record.Message) {
		names = append(names, record.FileName(key, m))
	}))
	return names
}

// loop does the work of the engine's loop until done returns true.
func (e *Engine) loop(done func() bool) {
	for !done() {
		for _, f := range e.inbox.take() {
			f()
		}
		e.pieces.advance()
		time.Sleep(time.Millisecond) // lets other goroutines run
	}
}

// The records of a long queue are written in the order of the names, while the loop goes on.
func TestLongStatusIsWrittenInParts(t *testing.T) {
	is := is.New(t)
	e, names := longEngine(t)
	ended := false
	e.status.start(time.Now(), func(err error) {
		is.NoErr(err)
		ended = true
	})
	is.True(e.status.writing())
	e.loop(func() bool { return ended })
	is.True(!e.status.writing())
	is.Equal(written(t, e), names)
}

// A stop does not wait for the write of a long status file: it ends that write, and writes the file once.
func TestStopEndsTheWriteOfALongStatusFile(t *testing.T) {
	is := is.New(t)
	e, names := longEngine(t)
	e.status.start(time.Now(), nil)
	for e.pieces.busy() { // the messages are collected in pieces
		e.pieces.advance()
	}
	is.True(e.status.file.Busy())
	is.NoErr(e.status.sync()) // the loop is not running
	is.Equal(written(t, e), names)
	files, err := os.ReadDir(e.spool.dir.Path())
	is.NoErr(err)
	is.True(!slices.ContainsFunc(files, func(f os.DirEntry) bool { // no temporary file of the ended write is left
		return f.Name() != spooldir.StatusFile && len(f.Name()) > len(spooldir.StatusFile) &&
			f.Name()[:2] == ".."
	}))
}

// A stop does not write a status file that is current, unless another program has written the file.
func TestStopWritesNoStatusFileThatIsCurrent(t *testing.T) {
	is := is.New(t)
	e, names := longEngine(t)
	is.NoErr(e.status.sync())
	first := *e.status.ours.Load()
	is.NoErr(e.status.sync())
	is.True(e.status.ours.Load().Equal(first)) // the file was not written again

	e.status.changed = true
	is.NoErr(e.status.sync())
	is.True(!e.status.ours.Load().Equal(first)) // the state has changed

	check(t, os.WriteFile(e.spool.status, []byte("{}"), 0o600))
	is.NoErr(e.status.sync())
	is.Equal(written(t, e), names)
}
