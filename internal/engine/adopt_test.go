package engine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// accepting is a Transport that accepts every message.
type accepting struct{}

// Deliver accepts t.
func (accepting) Deliver(_ context.Context, t *delivery.Transaction) []attempt.Outcome {
	return make([]attempt.Outcome, len(t.To))
}

// newEngine opens an Engine on a new spool. The test takes the place of the loop.
func newEngine(t testing.TB, change func(*Options)) *Engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spool")
	check(t, os.Mkdir(path, 0o700))
	dir, err := spooldir.New(path)
	check(t, err)
	o := Options{
		StatusFile: filepath.Join(path, spooldir.StatusFile), Freq: 10 * time.Second, MaxAge: time.Hour, Grace: time.Second,
		Retry:  record.Rule{MaxAttempts: 10, Backoff: func(int) time.Duration { return time.Minute }},
		Logger: slog.New(slog.DiscardHandler), OnEvent: func(queue.Event) {},
		Delivery: delivery.Config{
			Routes: []delivery.Route{{}}, Transport: accepting{}, Concurrency: 1,
			Jitter: func(d time.Duration) time.Duration { return d },
		},
	}
	if change != nil {
		change(&o)
	}
	e, err := Open(dir, o, false, false)
	check(t, err)
	t.Cleanup(e.Close)
	return e
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// replaceDir replaces the spool with an empty directory.
func replaceDir(t *testing.T, dir *spooldir.Dir) {
	t.Helper()
	check(t, os.Rename(dir.Path(), dir.Path()+".away"))
	check(t, os.Mkdir(dir.Path(), 0o700))
}

// A new directory is not adopted while the journal of the old directory is being written.
func TestNoAdoptionWhileTheJournalIsWritten(t *testing.T) { // with -race
	is := is.New(t)
	e := newEngine(t, nil)
	e.spool.journal.file.Append([]byte(`{"File":"x","Error":"some words"}`), time.Now())
	e.spool.journal.file.Start(func() {})
	replaceDir(t, e.spool.dir)
	is.True(e.opener.adopt() != nil)
	e.spool.journal.file.Finish(<-e.spool.journal.file.Done(), time.Now())
	old := e.spool.journal
	is.NoErr(e.opener.adopt())
	is.True(e.spool.journal != old)
}

// A new directory is not adopted while the status file of the old directory is being written: this file covers a
// position in the old journal, which means nothing in the new one.
func TestNoAdoptionWhileTheStatusFileIsWritten(t *testing.T) {
	is := is.New(t)
	e := newEngine(t, func(o *Options) { o.StatusFile = filepath.Join(filepath.Dir(o.StatusFile), "..", "status.js") })
	now := time.Now()
	e.spool.journal.file.Append([]byte("a record of the old journal"), now.Add(time.Hour))
	e.status.changed = true
	e.status.start(now, nil)
	is.True(e.status.file.Busy())
	replaceDir(t, e.spool.dir)
	is.True(e.opener.adopt() != nil)
	w := <-e.status.file.Done()
	e.status.file.Finish(w, now)
	e.status.saved(w.Err())
	is.NoErr(e.opener.adopt())
	at := e.spool.journal.file.Append([]byte("a record of the new journal"), now.Add(time.Hour))
	is.True(e.spool.journal.file.Safe() < at) // no write covers the new record
}

// A new directory is not adopted while a report is made: the report could end up in the new directory.
func TestNoAdoptionWhileAReportIsMade(t *testing.T) {
	is := is.New(t)
	e := newEngine(t, nil)
	now := time.Now()
	e.notices.owe(e.spool.dir.At(spooldir.Failed, "x.eml"), now)
	e.notices.start(now)
	is.True(e.notices.busy())
	replaceDir(t, e.spool.dir)
	old := e.spool.queue
	is.True(e.opener.adopt() != nil)
	is.True(e.spool.queue == old)
	e.notices.close()
	is.NoErr(e.opener.adopt())
	is.True(e.spool.queue != old)
}

func BenchmarkWriteStatus(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir, err := spooldir.New(b.TempDir())
			check(b, err)
			now := time.Now()
			packer := record.NewPacker(now)
			records := make([]queue.Named, n)
			for i := range records {
				records[i] = queue.Named{Name: fmt.Sprintf("20261123T214905.%09d-k7f3q2aa.eml", i), Record: packer.Pack(&record.Message{
					From: "sender@example.com", Enqueued: now, Modified: now, Size: 4096, Attempts: 1,
					To: []record.Recipient{{
						Address: fmt.Sprintf("recipient%d@example.org", i), Attempts: 1, NextAttempt: now, LastAttempt: now,
						Error: "rcpt: 450 4.2.1 mailbox busy, try again later", Relay: "mail.example.com:25",
					}},
				}, now)}
			}
			noCause := func(*record.Message) func(string) string { return nil }
			path := dir.File(spooldir.StatusFile)
			b.ReportAllocs()
			for b.Loop() {
				check(b, spooldir.WriteFileOn(dir.FS(), path, 0o600, func(w io.Writer) error { return writeStatus(w, dir, records, noCause, now) }))
			}
			info, err := os.Stat(path)
			check(b, err)
			b.SetBytes(info.Size())
		})
	}
}
