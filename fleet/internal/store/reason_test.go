package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/qshape"
)

// TestKind checks that the schema and the core agree on the kind of a reason.
func TestKind(t *testing.T) {
	is := is.New(t)
	s := open(t)
	texts := []string{
		"", "dial tcp: connection refused", "450 4.2.1 <ann@example.org>: mailbox is busy", "a@b@c d@e:f@g", "@x <@x> x@ @",
		"queued as 4F3A21B0C9", "abcdefgh 12345678 1234567 abcdefg1 1abcdefg x1234567…12345678", "ü12345678ü@ü, ümlaut",
		"x\u00a0y@z\vw\ta@b\r\n", strings.Repeat("a1b2c3d4 ", 50),
	}
	pieces := []string{"a", "Z", "7", "1234", "abcd", "@", " ", "<", ">", "…", ":", ";", ",", "'", `"`, "(", "[", "]", ")", "\t",
		"é", ".", "-", "_"}
	for range 2000 {
		text := ""
		for range rand.IntN(30) {
			text += pieces[rand.IntN(len(pieces))]
		}
		texts = append(texts, text)
	}
	rows, err := s.pool.Query(t.Context(), `SELECT spoolgore.kind(x) FROM unnest($1::text[]) WITH ORDINALITY u(x, n)
		ORDER BY n`, texts)
	is.NoErr(err)
	kinds, err := pgx.CollectRows(rows, pgx.RowTo[string])
	is.NoErr(err)
	for i, text := range texts {
		if kinds[i] != qshape.Kind(text) {
			t.Errorf("%q: the schema says %q, the core %q", text, kinds[i], qshape.Kind(text))
		}
		is.Equal(qshape.Kind(kinds[i]), kinds[i]) // a search for a kind
	}
}

// TestReasonsAreCounted checks the counts of reasons after any changes, added up or not.
func TestReasonsAreCounted(t *testing.T) {
	is := is.New(t)
	s := open(t)
	_, err := s.pool.Exec(t.Context(), queue, 300)
	is.NoErr(err)
	reasons := func(sql string) string {
		all, err := groupsOf(t.Context(), s, sql)
		is.NoErr(err)
		return fmt.Sprint(all)
	}
	check := func() {
		t.Helper()
		got, err := Reasons(t.Context(), s, 1000)
		is.NoErr(err)
		is.Equal(fmt.Sprint(got), reasons(`SELECT spoolgore.kind(reason), count(*)::int FROM spoolgore.message
			WHERE state IN (0, 1, 2) AND reason <> '' GROUP BY 1 ORDER BY 2 DESC, 1`))
	}
	check()
	is.True(reasons(`SELECT kind, n::int FROM spoolgore.reason`) == "[]") // not added up yet
	admin := Admin{s}
	for range 200 {
		ids := []int64{rand.Int64N(300) + 1, rand.Int64N(300) + 1}
		switch rand.IntN(8) {
		case 0:
			_, err = admin.Hold(t.Context(), ids)
		case 1:
			_, err = admin.Release(t.Context(), ids)
		case 2:
			_, err = admin.Delete(t.Context(), ids)
		case 3:
			_, err = s.pool.Exec(t.Context(), `SELECT * FROM spoolgore.tidy(true)`)
		case 4:
			_, err = s.pool.Exec(t.Context(), `UPDATE spoolgore.message SET reason = '450 mailbox of <n0@x> busy', state = 1
				WHERE id = ANY ($1)`, ids)
		case 5:
			_, err = s.pool.Exec(t.Context(), `UPDATE spoolgore.message SET reason = '', state = 0 WHERE id = ANY ($1)`, ids)
		case 6:
			_, err = s.pool.Exec(t.Context(), `UPDATE spoolgore.message SET state = 4 WHERE id = ANY ($1)`, ids)
		case 7:
			_, err = s.pool.Exec(t.Context(), `UPDATE spoolgore.message SET state = 2 WHERE id = ANY ($1) AND state = 0`, ids)
		}
		is.NoErr(err)
		check()
	}
	_, err = s.pool.Exec(t.Context(), `SELECT spoolgore.discard(ARRAY(SELECT id FROM spoolgore.message), 1)`)
	is.NoErr(err)
	check()
	_, err = s.pool.Exec(t.Context(), `SELECT * FROM spoolgore.tidy(true)`)
	is.NoErr(err)
	var left int
	is.NoErr(s.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM spoolgore.reason)
		+ (SELECT count(*) FROM spoolgore.reason_change)`).Scan(&left))
	is.Equal(left, 0)
}

// TestAnUpgradeCountsReasons checks that an upgrade counts the present reasons, and later ones of an older worker.
func TestAnUpgradeCountsReasons(t *testing.T) {
	is := is.New(t)
	db := shared.DB(t)
	conn, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	defer conn.Close(t.Context())
	all, err := Schema(0)
	is.NoErr(err)
	newer, err := Schema(6)
	is.NoErr(err)
	_, err = conn.Exec(t.Context(), strings.TrimSuffix(all, newer), pgx.QueryExecModeSimpleProtocol)
	is.NoErr(err)
	put := func() {
		_, err := conn.Exec(t.Context(), `SELECT spoolgore.put('a@example.com', ARRAY['b@example.org'], 'x'::text)`)
		is.NoErr(err)
	}
	var worker int64
	is.NoErr(conn.QueryRow(t.Context(), `SELECT spoolgore.enter('old', 15, 100)`).Scan(&worker))
	deferNext := func(reason string) {
		var id int64
		var lease, version int
		is.NoErr(conn.QueryRow(t.Context(), `SELECT id, lease, version FROM spoolgore.claim($1, 1, '')`, worker).
			Scan(&id, &lease, &version))
		change := JSON([]map[string]any{{
			"id": id, "lease": lease, "worker": worker, "version": version, "state": 1, "due": "2090-01-01T00:00:00Z",
			"rcpts": 1, "reason": reason, "record": map[string]any{"To": []map[string]any{{"Relay": "mx"}}},
		}})
		var stale []int64
		is.NoErr(conn.QueryRow(t.Context(), `SELECT spoolgore.settle('{}', $1, '[]', '[]')`, change).Scan(&stale))
		is.Equal(len(stale), 0)
	}
	for range 4 {
		put()
	}
	deferNext("450 <b@example.org> busy")
	deferNext("450 <c@example.org> busy")
	deferNext("refused")
	s, err := Open(t.Context(), db) // upgrades
	is.NoErr(err)
	defer s.Close()
	got, err := Reasons(t.Context(), s, 10)
	is.NoErr(err)
	is.Equal(got, []Group{{"450 <…> busy", 2}, {"refused", 1}})
	deferNext("refused")
	got, err = Reasons(t.Context(), s, 10)
	is.NoErr(err)
	is.Equal(got, []Group{{"450 <…> busy", 2}, {"refused", 2}})
	p, err := s.Page(t.Context(), Selection{Deferred: true, Relay: "mx", Reason: "450 <…> busy", Limit: 50}, 100)
	is.NoErr(err)
	is.Equal(len(p.Rows), 2)
}

// TestReasonsInAnotherEncoding checks that reasons are counted in a database without UTF-8.
func TestReasonsInAnotherEncoding(t *testing.T) {
	is := is.New(t)
	base := open(t)
	for encoding, kind := range map[string]string{"LATIN1": "450 mailbox of <...> busy", "SQL_ASCII": "450 mailbox of <…> busy"} {
		name := "other_" + strings.ToLower(encoding)
		_, err := base.pool.Exec(t.Context(), fmt.Sprintf(
			`CREATE DATABASE %s ENCODING '%s' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`, name, encoding))
		is.NoErr(err)
		s, err := Open(t.Context(), shared.Server(t).URL(name))
		is.NoErr(err)
		defer s.Close()
		_, err = s.pool.Exec(t.Context(), queue, 100)
		is.NoErr(err)
		all, err := Reasons(t.Context(), s, 1)
		is.NoErr(err)
		is.Equal(all[0].Name, kind)
		p, err := s.Page(t.Context(), Selection{States: []State{Ready}, Deferred: true, Reason: kind, Limit: 50}, 100)
		is.NoErr(err)
		is.Equal(p.Total, all[0].Count)
	}
}
