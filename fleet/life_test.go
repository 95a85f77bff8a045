package fleet

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// soon is a retry rule for tests.
func soon(int) time.Duration { return 10 * time.Millisecond }

// options returns options of a worker for relay.
func options(relay *smtptest.Relay) spoolgore.Options {
	return spoolgore.Options{SMTPAddr: "mail.example.com:25", Dial: relay.Dial, Backoff: soon, LocalName: "fleet.example.com"}
}

// subjects returns the number of acceptances of the relay by subject and recipient.
func subjects(relay *smtptest.Relay) map[string]int {
	got := make(map[string]int)
	for _, m := range relay.Messages() {
		_, rest, _ := bytes.Cut(m.Data, []byte("Subject: "))
		subject, _, _ := bytes.Cut(rest, []byte("\r\n"))
		for _, to := range m.To {
			got[string(subject)+" "+to]++
		}
	}
	return got
}

func TestPutTxIsSentIfAndOnlyIfTheTransactionCommits(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{DB: shared.DB(t)})
	env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	db, err := sql.Open("pgx", q.opts.DB)
	is.NoErr(err)
	defer db.Close()
	large := strings.Repeat("a line of the body\n", 100_000) // more than Put reads at first
	for _, commit := range []bool{false, true} {
		tx, err := conn.Begin(t.Context())
		is.NoErr(err)
		_, err = q.PutTx(t.Context(), tx, env, strings.NewReader(mail(fmt.Sprint("pgx ", commit))+large))
		is.NoErr(err)
		stx, err := db.BeginTx(t.Context(), nil)
		is.NoErr(err)
		_, err = q.PutSQL(t.Context(), stx, env, strings.NewReader(mail(fmt.Sprint("sql ", commit))))
		is.NoErr(err)
		ftx, err := db.BeginTx(t.Context(), nil)
		is.NoErr(err)
		var name string
		is.NoErr(ftx.QueryRow(`SELECT spoolgore.put('a@example.com', ARRAY['b@example.org'], $1::text)`,
			mail(fmt.Sprint("function ", commit))).Scan(&name))
		is.True(name != "")
		if commit {
			is.NoErr(tx.Commit(t.Context()))
			is.NoErr(stx.Commit())
			is.NoErr(ftx.Commit())
		} else {
			is.NoErr(tx.Rollback(t.Context()))
			is.NoErr(stx.Rollback())
			is.NoErr(ftx.Rollback())
		}
	}
	is.Equal(rows(t, q), 3)
	work(t, q, options(relay))
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(subjects(relay), map[string]int{
		"pgx true b@example.org": 1, "sql true b@example.org": 1, "function true b@example.org": 1,
	})
	for _, m := range relay.Messages() {
		if bytes.Contains(m.Data, []byte("pgx")) {
			is.Equal(bytes.Count(m.Data, []byte("a line of the body\r\n")), 100_000) // every octet is sent
		}
	}
}

func TestTheFunctionRefusesWhatIsNoMessage(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{DB: shared.DB(t)})
	db, err := sql.Open("pgx", q.opts.DB)
	is.NoErr(err)
	defer db.Close()
	for _, call := range []string{
		`'a@example.com', '{}', 'x'`, `'a@example.com', NULL, 'x'`, `'a@example.com', ARRAY['b@example.org', NULL], 'x'`,
		`'a@example.com', ARRAY['b@example.org'], ''`, `NULL, ARRAY['b@example.org'], 'x'`,
		`'a@example.com', ARRAY['b@example.org'], NULL::text`,
	} {
		_, err := db.Exec(`SELECT spoolgore.put(` + call + `)`)
		is.True(err != nil) // the function returns an error
	}
	is.Equal(rows(t, q), 0)
}

func TestAnIDIsPutOnce(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{})
	env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}, ID: "order 1"}
	name := put(t, q, env, mail("one"))
	again, err := q.Put(t.Context(), env, strings.NewReader(mail("one")))
	is.True(errors.Is(err, spoolgore.ErrDuplicate))
	is.Equal(again, name)
	work(t, q, options(relay))
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
	_, err = q.Put(t.Context(), env, strings.NewReader(mail("one")))
	is.True(errors.Is(err, spoolgore.ErrDuplicate)) // also after the delivery
	is.Equal(rows(t, q), 0)
	is.Equal(len(relay.Messages()), 1)
}

func TestPutRefusesABadEnvelope(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{MaxSize: 100})
	for _, tt := range []struct {
		env  spoolgore.Envelope
		text string
		want error
	}{
		{spoolgore.Envelope{From: "a@example.com"}, "x", spoolgore.ErrNoRecipients},
		{spoolgore.Envelope{From: "a@example.com", To: []string{"b@@"}}, "x", spoolgore.ErrEnvelope},
		{spoolgore.Envelope{To: []string{"b@example.org"}}, strings.Repeat("x", 101), spoolgore.ErrTooLarge},
	} {
		_, err := q.Put(t.Context(), tt.env, strings.NewReader(tt.text))
		is.True(errors.Is(err, tt.want))
	}
	is.Equal(rows(t, q), 0)
}

// Each recipient accepts the message once, whatever the outcome of the other recipients.
func TestRecipientsAreRetriedApart(t *testing.T) {
	is := is.New(t)
	var mu sync.Mutex
	tries := map[string]int{}
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb != "RCPT" {
			return ""
		}
		mu.Lock()
		defer mu.Unlock()
		tries[arg]++
		switch {
		case arg == "later@example.org" && tries[arg] < 3:
			return "450 4.2.1 not now"
		case arg == "never@example.org":
			return "550 5.1.1 no such user"
		}
		return ""
	}}
	q := open(t, Options{})
	work(t, q, options(relay))
	put(t, q, spoolgore.Envelope{
		From: "a@example.com", To: []string{"now@example.org", "later@example.org", "never@example.org"},
	}, mail("one"))
	eventually(t, "the report is sent and the message has failed", func() bool {
		return rows(t, q) == 1 && subjects(relay)["Not delivered: one a@example.com"] == 1
	})
	is.Equal(subjects(relay), map[string]int{
		"one now@example.org": 1, "one later@example.org": 1, "Not delivered: one a@example.com": 1,
	})
	for _, m := range relay.Messages() {
		if m.From == "" {
			is.True(bytes.Contains(m.Data, []byte("Final-Recipient: rfc822; never@example.org\r\n")))
			is.True(!bytes.Contains(m.Data, []byte("later@example.org")))
		}
	}
}

func TestAMessageIsGivenUpForItsAge(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && arg == "b@example.org" {
			return "450 4.2.1 not now"
		}
		return ""
	}}
	q := open(t, Options{})
	work(t, q, options(relay))
	put(t, q, spoolgore.Envelope{
		From: "a@example.com", To: []string{"b@example.org"}, Expire: time.Now().Add(2 * time.Second),
	}, mail("one"))
	eventually(t, "the sender has a report", func() bool { return len(relay.Messages()) == 1 && rows(t, q) == 1 })
	is.True(bytes.Contains(relay.Messages()[0].Data, []byte("not now")))
	is.Equal(relay.Messages()[0].To, []string{"a@example.com"})
}

func TestSuccessIsReportedIfTheSenderWants(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{})
	work(t, q, options(relay))
	put(t, q, spoolgore.Envelope{
		From: "a@example.com", To: []string{"b@example.org"}, Notify: []string{"SUCCESS"}, EnvID: "e1",
	}, mail("one"))
	eventually(t, "both messages are sent", func() bool { return len(relay.Messages()) == 2 && rows(t, q) == 0 })
	is.Equal(subjects(relay), map[string]int{"one b@example.org": 1, "Handed on: one a@example.com": 1})
}

// If the application puts a message that no relay can accept, the sender gets a report, and other messages are sent.
func TestABadMessageFailsAlone(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{DB: shared.DB(t)})
	db, err := sql.Open("pgx", q.opts.DB)
	is.NoErr(err)
	defer db.Close()
	for _, call := range []string{
		`'a@example.com', ARRAY['no address', 'b@example.org'], E'Subject: one\n\nx\n'`,
		`'no sender', ARRAY['b@example.org'], E'Subject: two\n\nx\n'`,
	} {
		_, err := db.Exec(`SELECT spoolgore.put(` + call + `)`)
		is.NoErr(err)
	}
	work(t, q, options(relay))
	put(t, q, spoolgore.Envelope{}, mail("three"))
	eventually(t, "two messages have failed and the others are sent", func() bool { return rows(t, q) == 2 && len(relay.Messages()) == 3 })
	is.Equal(subjects(relay), map[string]int{
		"one b@example.org": 1, "three b@example.org": 1, "Not delivered: one a@example.com": 1,
	})
}

func TestNoMessageIsSentBeforeItsTime(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{})
	work(t, q, options(relay))
	at := time.Now().Add(1500 * time.Millisecond)
	put(t, q, spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}, NotBefore: at}, mail("later"))
	put(t, q, spoolgore.Envelope{}, mail("now"))
	eventually(t, "the first message is sent", func() bool { return len(relay.Messages()) > 0 })
	is.Equal(subjects(relay)["now b@example.org"], 1)
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	is.True(!time.Now().Before(at)) // not before its time
	is.Equal(len(relay.Messages()), 2)
}
