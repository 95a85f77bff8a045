package engine

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// longEngine returns an engine with so many messages that a write of the status file takes them in parts.
func longEngine(t *testing.T) (e *Engine, names []string) {
	e = newEngine(t, nil)
	return e, fill(e)
}

// fill adds so many messages to the queue of e that a write of the status file takes them in parts.
func fill(e *Engine) (names []string) {
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
	return names
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

// A write that begins while a long status file is read waits for the end of the reading. The queue is long by then: the
// records are written in parts, too.
func TestAWriteThatWaitedIsMadeInParts(t *testing.T) {
	is := is.New(t)
	e := newEngine(t, nil)
	e.pieces.waiting = true
	ended := false
	e.status.start(time.Now(), func(error) { ended = true })
	names := fill(e)
	e.pieces.waiting = false
	for e.pieces.busy() {
		e.pieces.advance()
	}
	is.True(e.status.quit != nil) // a stream of records is being written
	e.loop(func() bool { return ended })
	is.Equal(written(t, e), names)
}

// What a work knows, such as the records of all messages, is free after its end.
func TestAWorkThatHasEndedIsForgotten(t *testing.T) {
	is := is.New(t)
	e, _ := longEngine(t)
	known := new([1 << 20]byte)
	memory := weak.Make(known)
	add := func(known *[1 << 20]byte) {
		e.pieces.add(func() *queue.Work { return e.spool.queue.Flush(time.Now()) }, 16, func() { known[0] = 1 })
	}
	add(known)
	known = nil
	is.True(e.pieces.busy())
	for e.pieces.busy() {
		e.pieces.advance()
	}
	runtime.GC()
	is.True(memory.Value() == nil)
	runtime.KeepAlive(e)
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
