package fleet

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/fleet/internal/operate"
	"github.com/unbit/spoolgore/fleet/internal/store"
)

// mixed adds 1,000,000 messages: 80 % have been tried, the last 20 % are ready; some have failed, some are held, some
// wait for the time of their sender. A relay, a domain and a reason are common (10 to 50 %), others have 1 %, 0.1 % or 16
// messages.
const mixed = `INSERT INTO spoolgore.message (id, uid, host, state, created, due, looks, sender, rcpts, size, reason,
	envelope, record)
	SELECT nextval('spoolgore.message_id'), 'x' || g, 'h' || g % 4, s, now() - (1000001 - g) * interval '0.1 s',
		CASE WHEN s = 0 THEN NULL ELSE now() + interval '1 day' END, now() + interval '5 days',
		'user' || g % 10 || '@example.com', 1, 100, CASE WHEN tried THEN r ELSE '' END,
		jsonb_build_object('from', 'user' || g % 10 || '@example.com', 'to', jsonb_build_array(rcpt)),
		CASE WHEN tried THEN jsonb_build_object('From', 'user' || g % 10 || '@example.com', 'Attempts', 3, 'To',
			jsonb_build_array(jsonb_build_object('Address', rcpt, 'Status', 0, 'Attempts', 3, 'NextAttempt',
			'2090-01-01T00:00:00Z', 'Error', r, 'Relay', relay))) END
	FROM (SELECT g, s, tried, relay, 'name' || g || CASE WHEN g % 3 = 0 THEN '@common.example.org'
			ELSE '@d' || g % 5000 || '.example.org' END AS rcpt,
		CASE WHEN g % 20 < 12 THEN '450 4.2.1 <name' || g || '@d' || g % 5000 || '.example.org>: mailbox is busy'
			WHEN g % 20 < 15 THEN '451 4.7.1 greylisted, try again in ' || g % 300 || ' seconds (' || md5(g::text) || ')'
			WHEN g % 20 < 18 THEN 'dial tcp: connection refused'
			WHEN g % 50000 = 19 THEN '452 4.3.1 rare: disk full' ELSE '421 4.3.2 kind ' || g % 40 || ' of trouble' END AS r
		FROM (SELECT g, CASE WHEN g % 100 = 7 THEN 4 WHEN g % 200 = 9 THEN 3 WHEN g > 800000 THEN 0 ELSE 1 END AS s,
				g <= 800000 AND g % 50 <> 11 OR g % 100 = 7 OR g % 5 = 0 AS tried,
				CASE WHEN g % 50000 = 4321 THEN 'rare' WHEN g % 100 = 5 THEN 'mid' ELSE 'mx' || g % 7 END
					|| '.example.net:25' AS relay
			FROM generate_series(1, 1000000) g) a) b`

// TestFiguresPages measures /messages with 50 rows and subjects among 1,000,000 messages, and the list of reasons.
func TestFiguresPages(t *testing.T) {
	figures(t)
	is := is.New(t)
	_, db := own(t, "shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=30min")
	q := open(t, Options{DB: db})
	conn, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	defer conn.Close(t.Context())
	for _, sql := range []string{
		mixed, addReasons, `INSERT INTO spoolgore.body SELECT id, 0, convert_to(E'Subject: message ' || id || E'\n\n' || repeat('x', 60),
			'UTF8') FROM spoolgore.message`, `VACUUM ANALYZE`, `CHECKPOINT`,
	} {
		_, err = conn.Exec(t.Context(), sql)
		is.NoErr(err)
	}
	_, ask := pageOf(t, q)
	pages(t, ask)
	began := time.Now()
	_, err = store.Reasons(t.Context(), q.store, 80)
	is.NoErr(err)
	t.Logf("list of reasons: %v", time.Since(began))
	began = time.Now()
	view := &operate.Queue{Acts: operate.Acts{Store: q.store, Ctx: t.Context()}}
	_, err = view.Totals(8, time.Now())
	is.NoErr(err)
	t.Logf("all totals: %v", time.Since(began))
	_, err = conn.Exec(t.Context(), textReady)
	is.NoErr(err)
	t.Log("with an index of texts for ready messages:")
	texts(t, ask)
}

// addReasons adds up the reasons of 1,000,000 messages, as workers do within a minute.
const addReasons = `DO $$ BEGIN FOR i IN 1..50 LOOP PERFORM spoolgore.add_reasons(); END LOOP; END $$`

// textReady is the index of docs/fleet.md.
const textReady = `CREATE INDEX message_text_ready ON spoolgore.message USING gin ((id::text || ' ' || sender || ' ' ||
	host || ' ' || reason || ' ' || coalesce(envelope->>'to', '')) spoolgore.gin_trgm_ops) WHERE state = 0`

// asks are requests to the page.
type asks func(method, path, body string) (int, string)

// pages logs how long pages take.
func pages(t *testing.T, ask asks) {
	const queued = "state=waiting,sending,deferred"
	for _, query := range []string{
		queued, queued + "&offset=450", queued + "&offset=100000", "state=deferred&offset=249950", "state=waiting",
		"state=failed", "state=held", "state=scheduled",
	} {
		measure(t, ask, query)
	}
	for _, group := range []string{
		"relay=mx3.example.net:25", "relay=mid.example.net:25", "relay=rare.example.net:25", "relay=none.example.net:25",
		"domain=common.example.org", "domain=d77.example.org", "domain=none.example.org",
		"reason=450 4.2.1 <…>: mailbox is busy", "reason=421 4.3.2 kind 39 of trouble", "reason=452 4.3.1 rare: disk full",
		"reason=none", "relay=mx3.example.net:25&reason=421 4.3.2 kind 39 of trouble",
	} {
		measure(t, ask, queued+"&"+group)
		measure(t, ask, queued+"&offset=450&"+group)
		measure(t, ask, "state=failed&"+group)
	}
	texts(t, ask)
}

// texts logs how long searches for texts take.
func texts(t *testing.T, ask asks) {
	for _, text := range []string{"mailbox", "kind 39 of", "disk full", "name777777@", "name777", "no such text", "zz"} {
		measure(t, ask, "state=deferred&q="+text)
		measure(t, ask, "state=deferred&offset=450&q="+text)
		measure(t, ask, "state=waiting,sending,deferred&q="+text)
		measure(t, ask, "state=waiting,sending,deferred&offset=450&q="+text)
	}
}

// measure logs the median of five requests, and the longest one.
func measure(t *testing.T, ask asks, query string) {
	t.Helper()
	is := is.New(t)
	form, err := url.ParseQuery(query)
	is.NoErr(err)
	var all []time.Duration
	var text string
	for range 5 {
		began := time.Now()
		code, answer := ask("GET", "/messages?"+form.Encode(), "")
		all = append(all, time.Since(began))
		is.Equal(code, 200)
		text = answer
	}
	slices.Sort(all)
	total, _, _ := strings.Cut(text, `"offset"`)
	t.Log(fmt.Sprintf("%4d ms, at most %4d", all[2].Milliseconds(), all[4].Milliseconds()), query, strings.Join(strings.Fields(total), ""))
}
