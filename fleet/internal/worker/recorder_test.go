package worker

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/record"
)

// stopper is a log handler that calls stop when outcomes cannot be recorded.
type stopper struct {
	bytes.Buffer
	stop func()
}

func (s *stopper) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "retrying") {
		s.stop()
	}
	return s.Buffer.Write(line)
}

// A worker that ends cannot record an acceptance of a message whose lease was lost. The acceptance is not taken for
// recorded: the journal keeps it for the next worker.
func TestAcceptanceThatCannotBeAmendedIsNotRecorded(t *testing.T) {
	is := is.New(t)
	var shared pgtest.Shared
	defer shared.Close()
	db := shared.DB(t)
	s, err := store.Open(t.Context(), db)
	is.NoErr(err)
	defer s.Close()
	added, err := s.Put(t.Context(), store.Item{
		UID: "x", Envelope: []byte(`{"from": "a@x.org", "to": ["b@x.org", "c@x.org"]}`), Pieces: [][]byte{[]byte("x")},
	})
	is.NoErr(err)
	conn, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	defer conn.Close(t.Context())
	for _, sql := range []string{
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no room''; END'`,
		`CREATE TRIGGER refuse BEFORE UPDATE ON spoolgore.message FOR EACH ROW EXECUTE FUNCTION refuse()`,
	} {
		_, err := conn.Exec(t.Context(), sql)
		is.NoErr(err)
	}
	abort, stop := context.WithCancel(t.Context())
	defer stop()
	log := &stopper{stop: stop}
	recorded := false
	r := &recorder{
		store: &store.Leases{Store: s}, log: slog.New(slog.NewTextHandler(log, nil)), abort: abort,
		limits: func() store.Limits { return nil }, done: func([]*settlement) { recorded = true },
	}
	m := &record.Message{To: []record.Recipient{{Address: "b@x.org", Status: record.Done}, {Address: "c@x.org"}}}
	r.record([]*settlement{{
		job: &job{Leased: store.Leased{ID: added.ID}, record: m}, change: store.Change{ID: added.ID, Worker: 1, Lease: 9},
	}})
	is.True(strings.Contains(log.String(), "no room"))
	is.True(!recorded)
}
