package fleet

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// loser returns the directory of a socket that leads to the server's. The first reply that contains text is lost with
// its connection; then lost is true.
func loser(t *testing.T, server, text string) (dir string, lost *atomic.Bool) {
	t.Helper()
	dir, lost = t.TempDir(), new(atomic.Bool)
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	pass := func(from, to net.Conn, answers bool) {
		defer from.Close()
		defer to.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if answers && bytes.Contains(buf[:n], []byte(text)) && lost.CompareAndSwap(false, true) {
				return
			}
			if _, failure := to.Write(buf[:n]); err != nil || failure != nil {
				return
			}
		}
	}
	go func() {
		for {
			a, err := listener.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("unix", filepath.Join(server, ".s.PGSQL.5432"))
			if err != nil {
				a.Close()
				continue
			}
			go pass(a, b, false)
			go pass(b, a, true)
		}
	}()
	return dir, lost
}

// The database has leased a message, and the reply to the claim is lost: the worker gives the lease back long before
// the lease ends.
func TestAClaimWhoseAnswerWasLostIsGivenBack(t *testing.T) {
	is := is.New(t)
	server := shared.Server(t)
	near := open(t, Options{DB: shared.DB(t)})
	put(t, near, spoolgore.Envelope{From: "a@example.com", To: []string{"b@lost.example.org"}}, mail("one"))
	dir, lost := loser(t, server.Dir, "b@lost.example.org")
	far := open(t, Options{DB: strings.ReplaceAll(near.opts.DB, server.Dir, dir), Lease: time.Hour})
	relay := &smtptest.Relay{}
	work(t, far, options(relay))
	eventually(t, "the message is sent", func() bool { return rows(t, near) == 0 })
	is.True(lost.Load())
	is.Equal(len(relay.Messages()), 1) // no copy
}

// A message is given up, but the transaction fails before its commit, several times. Then the worker is killed. There
// is never a failed message without a report, or a report without a failed message, and at the end there is one of
// each.
func TestGivingUpAndTheReportAreOneTransaction(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && arg == "b@example.org" {
			return "550 5.1.1 no such user"
		}
		return ""
	}}
	q := open(t, Options{DB: shared.DB(t), Lease: childLease})
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `CREATE SEQUENCE spoolgore.tries;
		CREATE FUNCTION spoolgore.fail() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN PERFORM nextval('spoolgore.tries'); RAISE EXCEPTION 'no report now'; END $$;
		CREATE TRIGGER fail BEFORE INSERT ON spoolgore.message FOR EACH ROW WHEN (NEW.sender = '')
			EXECUTE FUNCTION spoolgore.fail()`,
		pgx.QueryExecModeSimpleProtocol)
	is.NoErr(err)
	env := []string{
		"FLEET_TEST_DB=" + q.opts.DB, "FLEET_TEST_RELAY=" + relay.Listen(t), "FLEET_TEST_JOURNAL=" + t.TempDir(),
		"FLEET_TEST_NAME=w",
	}
	put(t, q, spoolgore.Envelope{}, mail("one"))
	worker := spawn(t, "worker", env...)
	eventually(t, "the worker has tried to record the failure", func() bool {
		var tries int
		is.NoErr(conn.QueryRow(t.Context(), `SELECT last_value FROM spoolgore.tries`).Scan(&tries))
		return tries > 1
	})
	kill(worker)
	failed := func() (n int) {
		is.NoErr(conn.QueryRow(t.Context(), `SELECT count(*) FROM spoolgore.message WHERE state = 4`).Scan(&n))
		return n
	}
	is.Equal(failed(), 0)
	is.Equal(rows(t, q), 1)
	_, err = conn.Exec(t.Context(), `DROP TRIGGER fail ON spoolgore.message`)
	is.NoErr(err)
	spawn(t, "worker", env...)
	eventually(t, "the message is given up and the report is sent", func() bool { return len(relay.Messages()) > 0 && rows(t, q) == 1 })
	is.Equal(failed(), 1)
	is.Equal(subjects(relay), map[string]int{"Not delivered: one a@example.com": 1})
}
