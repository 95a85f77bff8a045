package mailq

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// TestChanged shows which records are taken for records of another version of the file.
func TestChanged(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		size     int64
		modified time.Time
		changed  bool
	}{
		"this version":  {1, at, false},
		"other size":    {2, at, true},
		"other time":    {1, at.Add(1), true},
		"no version":    {0, time.Time{}, false}, // a record of the 2014 tool
		"part only":     {-1, at, false},
		"no time":       {2, time.Time{}, true},
		"time, no size": {0, at, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			dir := t.TempDir()
			path := filepath.Join(dir, "m")
			is.NoErr(os.WriteFile(path, []byte("x"), 0o600))
			is.NoErr(os.Chtimes(path, at, at))
			writeStatus(t, dir, map[string]record.Message{path: {Size: row.size, Modified: row.modified, To: []record.Recipient{{Status: record.InProgress}}}})
			v, err := Of(dir, "", at)
			is.NoErr(err)
			e, err := v.Find(spooldir.Spool, "m")
			is.NoErr(err)
			is.NoErr(v.Trouble)
			is.True(e.Known)
			is.Equal(e.Changed, row.changed)
			want := Sending
			if row.changed {
				want = New
			}
			is.Equal(e.State, want)
		})
	}
}

func writeStatus(t testing.TB, dir string, status map[string]record.Message) {
	t.Helper()
	text, err := json.Marshal(status)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, spooldir.StatusFile), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkKnown reads a status file of 10,000 messages, only the last of which is in the spool.
func BenchmarkKnown(b *testing.B) {
	dir := b.TempDir()
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	status := map[string]record.Message{}
	tried := record.Attempt{Time: at, Relay: "mail.example.com:25", TLS: "TLS 1.3", Reply: "450 4.2.1 later"}
	for i := range 10_000 {
		status[filepath.Join(dir, strconv.Itoa(10_000+i))] = record.Message{
			From: "a@x.org", Attempts: 1, Enqueued: at, Size: 1, Modified: at, MessageID: "<1@x>",
			To: []record.Recipient{{Address: "b@x.org", Attempts: 1, NextAttempt: at, Error: "450 4.2.1 later", Relay: "mail:25",
				LastAttempt: at, History: &record.History{First: tried, Last: tried}}},
		}
	}
	writeStatus(b, dir, status)
	if err := os.WriteFile(filepath.Join(dir, "19999"), nil, 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		v, err := Of(dir, "", at)
		if err != nil {
			b.Fatal(err)
		}
		if e, err := v.Find(spooldir.Spool, "19999"); err != nil || !e.Known {
			b.Fatal(e, err)
		}
	}
}
