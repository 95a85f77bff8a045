package fleet

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/operate"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// figures skips a test that measures, unless SPOOLGORE_FLEET is figures. Such a test needs the machine for itself.
func figures(t *testing.T) {
	if os.Getenv("SPOOLGORE_FLEET") != "figures" {
		t.Skip("SPOOLGORE_FLEET=figures measures")
	}
}

// body4k returns a message of 4 KiB.
func body4k(subject string) string {
	return mail(subject) + strings.Repeat(strings.Repeat("x", 70)+"\n", 55)
}

// TestFiguresManyMessages measures the counts, and fresh mail, among very many deferred messages.
func TestFiguresManyMessages(t *testing.T) {
	figures(t)
	is := is.New(t)
	const n = 1_000_000
	server, url := own(t, "shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=30min")
	q := open(t, Options{DB: url})
	conn, err := pgx.Connect(t.Context(), url)
	is.NoErr(err)
	defer conn.Close(t.Context())
	relay := &smtptest.Relay{}
	fresh := func() (p50 time.Duration) {
		var all []time.Duration
		for i := range 41 {
			before, began := len(relay.Messages()), time.Now()
			put(t, q, spoolgore.Envelope{}, body4k(fmt.Sprint("fresh", i)))
			for len(relay.Messages()) == before {
				time.Sleep(200 * time.Microsecond)
			}
			all = append(all, time.Since(began))
			time.Sleep(30 * time.Millisecond)
		}
		for i := range all {
			for j := i; j > 0 && all[j] < all[j-1]; j-- {
				all[j], all[j-1] = all[j-1], all[j]
			}
		}
		return all[20]
	}
	stop := work(t, q, options(relay))
	empty := fresh()
	stop()
	_, err = conn.Exec(t.Context(), deferred, n)
	is.NoErr(err)
	for _, settle := range []string{addReasons, `VACUUM ANALYZE`, `CHECKPOINT`} { // of the INSERT
		_, err = conn.Exec(t.Context(), settle)
		is.NoErr(err)
	}
	view := &operate.Queue{Acts: operate.Acts{Store: q.store, Ctx: t.Context()}}
	began := time.Now()
	_, err = view.Totals(8, time.Now())
	is.NoErr(err)
	t.Logf("totals of %d: %v", n, time.Since(began).Round(time.Millisecond))
	stop = work(t, q, options(relay))
	full := fresh()
	before, _ := server.Processor()
	time.Sleep(20 * time.Second)
	after, _ := server.Processor()
	t.Logf("fresh p50 %v empty, %v beside %d deferred; idle %.1f ms/s of the server", empty, full, n,
		1000*(after-before)/20)
	stop()
}

// TestFiguresRoundTrips counts statements for a Put, and statements of a worker with a backlog for a message.
// Notifications are not counted: Put does not wait for them, and a process sends at most 20 in a second.
func TestFiguresRoundTrips(t *testing.T) {
	figures(t)
	is := is.New(t)
	_, url := own(t, "shared_preload_libraries=pg_stat_statements")
	q := open(t, Options{DB: url})
	conn, err := pgx.Connect(t.Context(), url)
	is.NoErr(err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `CREATE EXTENSION pg_stat_statements`)
	is.NoErr(err)
	calls := func() (n int) {
		const sum = `SELECT sum(calls)::int FROM pg_stat_statements WHERE toplevel
			AND query NOT LIKE '%pg_stat_statements%' AND query NOT LIKE 'NOTIFY%'`
		is.NoErr(conn.QueryRow(t.Context(), sum).Scan(&n))
		_, err := conn.Exec(t.Context(), `SELECT pg_stat_statements_reset()`)
		is.NoErr(err)
		return n
	}
	const n = 2000
	calls()
	for i := range n {
		put(t, q, spoolgore.Envelope{}, body4k(fmt.Sprint("m", i)))
	}
	t.Logf("%.3f statements a Put", float64(calls())/n)
	relay := &smtptest.Relay{}
	stop := work(t, q, options(relay))
	for len(relay.Messages()) < n {
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	t.Logf("%.3f statements of a worker a message", float64(calls())/n)
	is.Equal(rows(t, q), 0)
}

// TestFiguresMemory measures the memory of a worker process: with a backlog of small messages, and with large messages
// on all connections.
func TestFiguresMemory(t *testing.T) {
	figures(t)
	is := is.New(t)
	for _, tt := range []struct {
		what string
		n    int
		text func(subject string) string
	}{
		{"4 KiB", 5000, body4k},
		{"25 MB", 20, func(subject string) string {
			return mail(subject) + strings.Repeat(strings.Repeat("x", 70)+"\n", 25_000_000/71)
		}},
	} {
		s := newScene(t, shared.DB(t), 0)
		for i := range tt.n {
			put(t, s.q, spoolgore.Envelope{}, tt.text(fmt.Sprint("m", i)))
		}
		worker := s.worker(0)
		eventually(t, "every message is sent", func() bool { return s.left() == 0 })
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", worker.Process.Pid))
		is.NoErr(err)
		_, peak, _ := strings.Cut(string(text), "VmHWM:")
		peak, _, _ = strings.Cut(peak, "\n")
		t.Logf("%d messages of %s: most memory of the worker %s", tt.n, tt.what, strings.TrimSpace(peak))
	}
}
