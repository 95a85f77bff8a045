package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// journaled returns the number of acceptances in the journal.
func journaled(t *testing.T, dir string) (n int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(string(text), "\n")
	}
	return n
}

// A relay has accepted messages, the database cannot record that, and the worker is killed. The next worker on the host
// records the acceptances, and no message is sent twice.
func TestAcceptancesOfAKilledWorkerAreRecordedByTheNextOne(t *testing.T) {
	is := is.New(t)
	replies := make(chan bool)
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "END" {
			<-replies
		}
		return ""
	}}
	q := open(t, Options{DB: shared.DB(t), Lease: childLease})
	dir := t.TempDir()
	env := []string{
		"FLEET_TEST_DB=" + q.opts.DB, "FLEET_TEST_RELAY=" + relay.Listen(t), "FLEET_TEST_JOURNAL=" + dir,
		"FLEET_TEST_NAME=w",
	}
	const messages = 5
	for i := range messages {
		to := []string{"b@example.org", "c@example.org"}
		put(t, q, spoolgore.Envelope{From: "a@example.com", To: to}, mail(fmt.Sprint("m", i)))
	}
	worker := spawn(t, "worker", env...)
	for range messages - 1 {
		replies <- true
	}
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	is.NoErr(err)
	// no end of a message can be recorded
	_, err = tx.Exec(t.Context(), `LOCK TABLE spoolgore.uid IN ACCESS EXCLUSIVE MODE`)
	is.NoErr(err)
	replies <- true
	close(replies)
	eventually(t, "every message is accepted", func() bool { return journaled(t, dir) == messages })
	kill(worker)
	_, err = tx.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	is.NoErr(err)
	is.NoErr(tx.Rollback(t.Context()))
	q = open(t, Options{DB: q.opts.DB}) // the connections of the earlier queue were terminated, too
	is.True(rows(t, q) > 0)             // at least one message is not recorded
	spawn(t, "worker", env...)
	eventually(t, "every acceptance is recorded", func() bool { return rows(t, q) == 0 })
	is.Equal(len(relay.Messages()), messages) // no copy
	eventually(t, "the journal has no acceptances", func() bool { return journaled(t, dir) == 0 })
}
