package fleet

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"
)

// slow locks the messages, and returns the number of statements that wait for them.
func slow(t *testing.T, q *Queue) (waiting func() int) {
	t.Helper()
	is := is.New(t)
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := pgx.Connect(t.Context(), q.opts.DB)
		is.NoErr(err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		conns[i] = conn
	}
	_, err := conns[0].Exec(t.Context(), `BEGIN; LOCK TABLE spoolgore.message IN ACCESS EXCLUSIVE MODE`)
	is.NoErr(err)
	return func() (n int) {
		is.NoErr(conns[1].QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND datname = current_database()`).Scan(&n))
		return n
	}
}

// The database is slow: the statements of a request end with the request, and those of Run with Run.
func TestStatementsOfThePageEndWithTheRequest(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{})
	name := put(t, q, to(""), mail("one"))
	p, _ := pageOf(t, q)
	slow, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer slow.Close(context.Background())
	_, err = slow.Exec(t.Context(), `BEGIN; LOCK TABLE spoolgore.message IN ACCESS EXCLUSIVE MODE`)
	is.NoErr(err)
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(context.Background())
	waiting := func() (n int) {
		is.NoErr(conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity 
			WHERE wait_event_type = 'Lock' AND datname = current_database()`).Scan(&n))
		return n
	}
	ask := func(path string) func(context.Context) {
		return func(ctx context.Context) {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
			r.Header.Set("User", "ann")
			p.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	for what, do := range map[string]func(context.Context){
		"list": ask("/messages?state=waiting"), "message": ask("/message?file=" + base64.RawURLEncoding.EncodeToString([]byte(name))), "watch": p.Run,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { do(ctx); done <- nil }()
		eventually(t, what+" waits for the database", func() bool { return waiting() == 1 })
		cancel()
		is.NoErr(within(t, 10*time.Second, done))
		eventually(t, what+" leaves no statement", func() bool { return waiting() == 0 })
	}
}

// A flush and a count of the page that take long do not stop the end of the process.
func TestAFlushOfThePageEndsWithTheQueue(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{})
	p, _ := pageOf(t, q)
	waiting := slow(t, q)
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/do", strings.NewReader(`{"act": "flush"}`)),
		httptest.NewRequest(http.MethodGet, "/status", nil),
	} {
		r.Header.Set("User", "ann")
		r.Header.Set("Content-Type", "application/json")
		go p.ServeHTTP(httptest.NewRecorder(), r)
	}
	eventually(t, "both wait for the database", func() bool { return waiting() == 2 })
	closed := make(chan error, 1)
	go func() { q.Close(); closed <- nil }()
	is.NoErr(within(t, 10*time.Second, closed))
}
