package store

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/fleet/internal/pgtest"
)

var shared pgtest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	shared.Close()
	os.Exit(code)
}

// open returns a store on a new database.
func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), shared.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// queue adds n messages: of a hundred, the last 10 are ready and in no relay's hands yet, and of the others 2 have
// failed, 1 is held, 1 is scheduled, 3 are ready again, and the rest is deferred. One relay, one domain and one reason
// have a third of them, and others have 4 messages.
const queue = `INSERT INTO spoolgore.message (id, uid, host, state, created, due, looks, sender, rcpts, size, reason,
	envelope, record)
	SELECT nextval('spoolgore.message_id'), 'x' || g, 'h', state, now(), now() + interval '1 day', now() + interval '5 days',
		'a@example.com', 1, 100, CASE WHEN tried THEN reason ELSE '' END, jsonb_build_object('from', 'a@example.com',
			'to', jsonb_build_array('name' || g || '@' || domain)),
		CASE WHEN tried THEN jsonb_build_object('From', 'a@example.com', 'To', jsonb_build_array(jsonb_build_object(
			'Address', 'name' || g || '@' || domain, 'Status', 0, 'Error', reason, 'Relay', relay))) END
	FROM (SELECT g, CASE WHEN g > $1 * 0.9 THEN 0 WHEN g % 100 IN (1, 2) THEN 4 WHEN g % 100 = 3 THEN 3
			WHEN g % 100 IN (5, 6, 7) THEN 0 ELSE 1 END AS state, g <= $1 * 0.9 AND g % 100 <> 4 AS tried,
		CASE WHEN g % 5000 = 4999 THEN 'rare.example.org' WHEN g % 3 = 0 THEN 'common.example.org'
			ELSE 'd' || g % 500 || '.example.org' END AS domain,
		CASE WHEN g % 5000 = 4999 THEN '452 4.3.1 rare: disk full' WHEN g % 3 = 0 THEN '450 mailbox of <n' || g || '@x> busy'
			ELSE '421 4.3.2 trouble of kind ' || g % 40 END AS reason,
		CASE WHEN g % 5000 = 4999 THEN 'rare.example.net' WHEN g % 3 = 0 THEN 'common.example.net'
			ELSE 'mx' || g % 7 || '.example.net' END AS relay
		FROM generate_series(1, $1::int) g) x`

// node is a node of a finished plan.
type node struct {
	Type    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Index   string  `json:"Index Name"`
	Rows    float64 `json:"Actual Rows"`
	Removed float64 `json:"Rows Removed by Filter"`
	Recheck float64 `json:"Rows Removed by Index Recheck"`
	Loops   float64 `json:"Actual Loops"`
	Plans   []node
}

// touched returns the number of rows of tables and entries of indexes read for a plan.
func (n node) touched(t *testing.T) (rows float64) {
	if n.Table == "message" || n.Type == "Bitmap Index Scan" {
		rows = n.Loops * (n.Rows + n.Removed + n.Recheck)
	}
	if n.Type == "Seq Scan" && n.Table == "message" && n.Loops > 0 {
		t.Error("reads all messages")
	}
	for _, x := range n.Plans {
		rows += x.touched(t)
	}
	return rows
}

// run carries a walk out, and returns the number of messages found, and of rows read.
func run(t *testing.T, s *Store, w walk) (found int, touched float64) {
	t.Helper()
	is := is.New(t)
	_, found, _, err := w.read(t.Context(), s)
	is.NoErr(err)
	sql, args := w.sql()
	var text string
	err = planned(t.Context(), s, w.ordered || w.first > 0, "EXPLAIN (ANALYZE, FORMAT JSON) "+sql, args,
		func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&text}, func() error { return nil })
			return err
		})
	is.NoErr(err)
	var plans []struct{ Plan node }
	is.NoErr(json.Unmarshal([]byte(text), &plans))
	touched = plans[0].Plan.touched(t)
	if t.Failed() {
		t.Log(text)
	}
	return found, touched
}

// TestAPageReadsFewRows checks that a page of a long list is read through indexes: few rows more than are counted.
func TestAPageReadsFewRows(t *testing.T) {
	is := is.New(t)
	s := open(t)
	const n, most = 20_000, 200
	_, err := s.pool.Exec(t.Context(), queue, n)
	is.NoErr(err)
	_, err = s.pool.Exec(t.Context(), `ANALYZE spoolgore.message`)
	is.NoErr(err)
	queued := Selection{States: []State{Ready, LeasedOut}, Deferred: true, Limit: 50}
	for _, states := range []Selection{
		queued, {Deferred: true}, {Scheduled: true}, {States: []State{Ready}}, {States: []State{LeasedOut}},
		{States: []State{Held}}, {States: []State{Failed}, Newest: true},
	} {
		for _, group := range []Selection{
			{}, {Relay: "common.example.net"}, {Relay: "rare.example.net"}, {Relay: "none.example.net"},
			{Domain: "common.example.org"}, {Domain: "rare.example.org"}, {Domain: "none.example.org"},
			{Reason: "450 mailbox of <…> busy"}, {Reason: "452 4.3.1 rare: disk full"}, {Reason: "none"},
		} {
			for _, offset := range []int{0, 450} {
				q := states
				q.Relay, q.Domain, q.Reason, q.Offset, q.Limit = group.Relay, group.Domain, group.Reason, offset, 50
				w, err := walkOf(t.Context(), s, q, most)
				is.NoErr(err)
				is.True(w.ordered)
				found, touched := run(t, s, w)
				if touched > float64(3*(w.most+50)) { // of at most three states
					t.Errorf("%+v: read %v rows, to find %d", q, touched, found)
				}
			}
		}
	}
	for text, want := range map[string]int{"rare: disk": n * 9 / 10 / 5000, "no such text": 0, "name15999@": 1} {
		q := Selection{Deferred: true, Text: text, Limit: 50}
		w, err := walkOf(t.Context(), s, q, most)
		is.NoErr(err)
		found, touched := run(t, s, w)
		is.Equal(found, want)
		if touched > 100 { // the index has parts of three characters
			t.Errorf("%q: read %v rows", text, touched)
		}
		w.first = 1000
		_, touched = run(t, s, w)
		is.True(touched < 3*1001) // the first messages, and their count
	}
}

// TestAMessageWithSeveralRelays checks that each of several relays is found, also with names too long for an index.
func TestAMessageWithSeveralRelays(t *testing.T) {
	is := is.New(t)
	s := open(t)
	const add = `INSERT INTO spoolgore.message (id, uid, host, state, created, looks, sender, rcpts, envelope, record)
		VALUES ($1::bigint, 'x' || $1, 'h', $2, now(), now(), '', 1, '{"to": ["b@example.org"]}', $3)`
	relays := func(n int, prefix string) string {
		to := []map[string]any{{"Address": "done@x", "Status": 2, "Relay": "accepted.example.net"}}
		for i := range n {
			to = append(to, map[string]any{"Address": "b@x", "Status": 0, "Relay": fmt.Sprint(prefix, i)},
				map[string]any{"Address": "c@x", "Status": 2, "GivenUp": true, "Relay": prefix + "0"})
		}
		text, _ := json.Marshal(map[string]any{"From": "Relay", "To": to, "Removed": []string{"x"}})
		return string(text)
	}
	for id, tt := range map[int64]struct {
		state State
		n     int
		name  string
	}{
		1: {Waiting, 1, "mx"}, 2: {Failed, 1, "mx"}, 3: {Waiting, 2, "mx"}, 4: {Ready, 12, "mx"}, 5: {Held, 400, "mx"},
		6: {LeasedOut, 2, "mx"}, 7: {Waiting, 0, ""}, 8: {Waiting, 1, "long.example.net:"},
	} {
		_, err := s.pool.Exec(t.Context(), add, id, tt.state, relays(tt.n, tt.name))
		is.NoErr(err)
	}
	all := Selection{States: []State{Ready, LeasedOut, Held, Failed}, Deferred: true, Scheduled: true, Limit: 50}
	for relay, want := range map[string][]int64{
		"mx0": {1, 2, 3, 4, 5, 6}, "mx1": {3, 4, 5, 6}, "mx11": {4, 5}, "mx399": {5}, "mx400": nil, "mx": nil, "x0": nil,
		"accepted.example.net": nil, // not for a recipient that waits
		"long.example.net:0":   {8},
	} {
		q := all
		q.Relay = relay
		got := func() (ids []int64) {
			p, err := s.Page(t.Context(), q, 100)
			is.NoErr(err)
			for _, m := range p.Rows {
				ids = append(ids, m.ID)
			}
			is.Equal(p.Total, len(ids))
			is.True(!p.More)
			return ids
		}
		is.Equal(got(), want)
		q.Text = "b@example.org" // another way to the same messages
		is.Equal(got(), want)
	}
}
