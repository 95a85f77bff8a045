package fleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// host runs a local spool that hands messages on, until the returned function is called.
func host(t *testing.T, dir string, transport spoolgore.Transport, events func(spoolgore.Event)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		opts := spoolgore.Options{
			Transport: transport, Rate: spoolgore.Rate{{N: 1, Per: 24 * time.Hour}}, OnEvent: events,
			Watch: spoolgore.WatchOff, Freq: 100 * time.Millisecond,
		}
		if err := spoolgore.New(dir, opts).Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// files returns the number of messages in a spool.
func files(t *testing.T, dir string) int {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range all {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			n++
		}
	}
	return n
}

func TestASpoolHandsOn(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q, dir := open(t, Options{}), t.TempDir()
	var mu sync.Mutex
	var kinds []spoolgore.EventKind
	host(t, dir, q.HandOn(), func(e spoolgore.Event) {
		mu.Lock()
		defer mu.Unlock()
		kinds = append(kinds, e.Kind)
	})
	spool := spoolgore.New(dir, spoolgore.Options{})
	later := time.Now().Add(2 * time.Second)
	large := strings.Repeat("a line of the body\n", 100_000)
	for i, env := range []spoolgore.Envelope{
		{From: "a@example.com", To: []string{"b@example.org"}, Notify: []string{"SUCCESS"}},
		{From: "a@example.com", To: []string{"b@example.org"}, NotBefore: later},
		{From: "a@example.com", To: []string{"b@example.org"}},
	} {
		_, err := spool.Put(t.Context(), env, strings.NewReader(mail(fmt.Sprint("m", i))+large))
		is.NoErr(err)
	}
	// NotBefore and the rate of the host do not delay the messages.
	seen := func() []spoolgore.EventKind {
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(slices.Values(kinds))
	}
	eventually(t, "every message is handed on", func() bool { return files(t, dir) == 0 && rows(t, q) == 3 && len(seen()) >= 6 })
	is.Equal(seen(), []spoolgore.EventKind{"handed on", "handed on", "handed on", "queued", "queued", "queued"})
	work(t, q, options(relay))
	eventually(t, "every message and a report are sent", func() bool { return rows(t, q) == 0 && len(relay.Messages()) == 4 })
	is.True(!time.Now().Before(later))
	is.Equal(subjects(relay), map[string]int{
		"m0 b@example.org": 1, "m1 b@example.org": 1, "m2 b@example.org": 1, "Handed on: m0 a@example.com": 1,
	})
	for _, m := range relay.Messages() {
		if m.From != "" {
			is.Equal(strings.Count(string(m.Data), "a line of the body\r\n"), 100_000) // every octet is sent
		}
	}
}

// After a crash between the commit and the removal of the file, the message is handed on again: the database recognizes
// the file.
func TestAFileIsHandedOnOnce(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q, dir := open(t, Options{}), t.TempDir()
	spool := spoolgore.New(dir, spoolgore.Options{})
	name, err := spool.Put(t.Context(), spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}},
		strings.NewReader(mail("one")))
	is.NoErr(err)
	var offers []*spoolgore.Transaction
	refuse := spoolgore.TransportFunc(func(ctx context.Context, tx *spoolgore.Transaction) []spoolgore.Result {
		offers = append(offers, tx)
		// the database has the message, and the host has no record of that
		is.Equal(q.HandOn().Deliver(ctx, tx)[0].Err, nil)
		return []spoolgore.Result{{Err: &spoolgore.DeliveryError{Fault: spoolgore.FaultRelay, Err: os.ErrDeadlineExceeded}}}
	})
	is.True(spoolgore.New(dir, spoolgore.Options{Transport: refuse}).Drain(t.Context()) != nil)
	is.True(len(offers) > 0)
	is.NoErr(os.Rename(filepath.Join(dir, name), filepath.Join(dir, "renamed")))
	stop := host(t, dir, q.HandOn(), nil)
	eventually(t, "the message is handed on", func() bool { return files(t, dir) == 0 })
	stop()
	is.Equal(rows(t, q), 1)
	work(t, q, options(relay))
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(len(relay.Messages()), 1)
}

// While the database is down, files wait in the spool; no attempt is counted.
func TestAHostWaitsForTheDatabase(t *testing.T) {
	is := is.New(t)
	server, url := own(t)
	q, dir := open(t, Options{DB: url}), t.TempDir()
	server.Crash()
	host(t, dir, q.HandOn(), nil)
	spool := spoolgore.New(dir, spoolgore.Options{})
	for i := range 3 {
		_, err := spool.Put(t.Context(), spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}},
			strings.NewReader(mail(fmt.Sprint("m", i))))
		is.NoErr(err)
	}
	_, err := q.Put(short(t), spoolgore.Envelope{To: []string{"b@example.org"}}, strings.NewReader("x"))
	is.True(err != nil) // no success for a message that is not in the database
	is.Equal(files(t, dir), 3)
	is.NoErr(server.Start())
	eventually(t, "every message is handed on", func() bool { return files(t, dir) == 0 })
	is.Equal(rows(t, q), 3)
}

// short returns a context that ends soon.
func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
