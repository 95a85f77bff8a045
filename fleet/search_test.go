package fleet

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/operate"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/web"
)

// deferred adds n messages that wait after an attempt, with senders user0 to user9 and recipients name1 and so on.
const deferred = `INSERT INTO spoolgore.message (id, uid, host, state, created, due, looks, sender, rcpts, size, reason,
	envelope, record) SELECT nextval('spoolgore.message_id'), 'x' || g, 'h', 1, now(), now() + interval '1 day',
	now() + interval '5 days', 'user' || g % 10 || '@example.com', 1, 100, '450 4.2.1 mailbox of ' || CASE g WHEN 11777
	THEN 'nobody' ELSE 'name' || g || '@example.org' END || ' is busy', jsonb_build_object('from', 'user' || g % 10
	|| '@example.com', 'to', jsonb_build_array('name' || g || '@d' || g % 5000 || '.example.org')),
	jsonb_build_object('From', 'a@example.com', 'Attempts', 3, 'To', jsonb_build_array(
	jsonb_build_object('Address', 'name' || g || '@d' || g % 5000 || '.example.org', 'Status', 0, 'Attempts', 3,
	'NextAttempt', '2090-01-01T00:00:00Z', 'Error', '450 4.2.1 not now', 'Relay', 'mx' || g % 7 || '.example.net')))
	FROM generate_series(1, $1::int) g`

// A page has the right messages at any place of a long list, and the right count.
func TestAPageOfManyMessages(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{DB: shared.DB(t)})
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), deferred, 12_000)
	is.NoErr(err)
	put(t, q, spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.net"}}, mail("ready"))
	var indexes int
	is.NoErr(conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_indexes WHERE indexname IN ('message_text',
		'message_domain', 'message_domain_scheduled', 'message_deferred', 'message_scheduled', 'message_waits',
		'message_relay', 'message_reason')`).Scan(&indexes))
	is.Equal(indexes, 8)
	view := &operate.Queue{Acts: operate.Acts{Store: q.store, Ctx: t.Context()}}
	all := []mailq.State{mailq.Waiting, mailq.Sending, mailq.Deferred, mailq.Scheduled, mailq.Held, mailq.Failed}
	for _, tt := range []struct {
		p     web.PageQuery
		first string // recipient of the first message of the page; empty: no message
		n     int
		total int
		more  bool // than total
	}{
		{web.PageQuery{}, "name1@d1.example.org", 50, 10_000, true},
		{web.PageQuery{Newest: true}, "b@example.net", 50, 10_000, true},
		{web.PageQuery{Offset: 11_990}, "name11991@d1991.example.org", 11, 12_001, false},
		{web.PageQuery{States: []mailq.State{mailq.Waiting}}, "b@example.net", 1, 1, false},
		{web.PageQuery{States: []mailq.State{mailq.Held, mailq.Scheduled}}, "", 0, 0, false},
		{web.PageQuery{Text: "name11999@"}, "name11999@d1999.example.org", 1, 1, false}, // not among the first
		{web.PageQuery{Text: "USER3@", Newest: true}, "name11993@d1993.example.org", 50, 653, true},
		{web.PageQuery{Text: "user3@", Offset: 490}, "name4903@d4903.example.org", 50, 1000, true},
		{web.PageQuery{Text: "b@example.net"}, "b@example.net", 1, 1, false},
		{web.PageQuery{Text: "100%"}, "", 0, 0, false},
		{web.PageQuery{Domain: "d1999.example.org"}, "name1999@d1999.example.org", 3, 3, false},
		{web.PageQuery{Reason: "450 4.2.1 mailbox of … is busy"}, "name1@d1.example.org", 50, 1000, true},
		{web.PageQuery{Reason: "450 4.2.1 mailbox of nobody is busy"}, "name11777@d1777.example.org", 1, 1, false},
		{web.PageQuery{Relay: "mx3.example.net", Text: "name11777@"}, "name11777@d1777.example.org", 1, 1, false},
		{web.PageQuery{Relay: "mx4.example.net", Text: "name11777@"}, "", 0, 0, false},
		{web.PageQuery{Relay: "mx4.example.net"}, "name4@d4.example.org", 50, 1000, true},
		{web.PageQuery{Relay: "mx4.example.net", Offset: 1690}, "name11834@d1834.example.org", 24, 1714, false},
		{web.PageQuery{Relay: "mx.example.net"}, "", 0, 0, false},
		{web.PageQuery{Relay: "mx4.example.net", States: []mailq.State{mailq.Scheduled}}, "", 0, 0, false},
		{web.PageQuery{Relay: "mx4.example.net", Domain: "d1999.example.org"}, "name1999@d1999.example.org", 1, 1, false},
		{web.PageQuery{Domain: "example.net"}, "b@example.net", 1, 1, false},
	} {
		if tt.p.Limit = 50; tt.p.States == nil {
			tt.p.States = all
		}
		page, err := view.Page(tt.p)
		some, total := page.Some, page.Total
		is.Equal(page.More, tt.more)
		is.NoErr(err)
		t.Log(fmt.Sprintf("%+v", tt.p), len(some), total)
		is.Equal(len(some), tt.n)
		is.Equal(total, tt.total)
		if tt.n > 0 {
			is.Equal(some[0].To[0].Address, tt.first)
		}
	}
	_, ask := pageOf(t, q)
	_, text := ask("GET", "/messages?state=deferred&relay=mx4.example.net&brief=1", "")
	is.True(strings.Contains(text, `"least"`)) // more than the total
	_, text = ask("GET", "/messages?state=deferred&relay=mx4.example.net&offset=1690&brief=1", "")
	is.True(!strings.Contains(text, `"least"`))
}

// A server without the extension has no index for searches. Searches work without it.
func TestASearchWithoutTheExtension(t *testing.T) {
	is := is.New(t)
	db := shared.DB(t)
	conn, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	defer conn.Close(t.Context())
	schema, err := store.Schema(0)
	is.NoErr(err)
	_, err = conn.Exec(t.Context(), strings.ReplaceAll(schema, "pg_trgm", "no_such_extension"))
	is.NoErr(err)
	var indexes int
	is.NoErr(conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_indexes WHERE indexname = 'message_text'`).Scan(&indexes))
	is.Equal(indexes, 0)
	q := open(t, Options{DB: db})
	_, err = conn.Exec(t.Context(), deferred, 100)
	is.NoErr(err)
	view := &operate.Queue{Acts: operate.Acts{Store: q.store, Ctx: t.Context()}}
	page, err := view.Page(web.PageQuery{States: []mailq.State{mailq.Deferred}, Text: "name77@", Limit: 50})
	is.NoErr(err)
	is.Equal(page.Total, 1)
	is.Equal(page.Some[0].To[0].Address, "name77@d77.example.org")
}
