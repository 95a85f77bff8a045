package fleet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/internal/smtptest"
)

var shared pgtest.Shared

func TestMain(m *testing.M) {
	if role := os.Getenv("FLEET_TEST_ROLE"); role != "" {
		os.Exit(child(role))
	}
	code := m.Run()
	shared.Close()
	os.Exit(code)
}

// open returns a queue on a new database.
func open(t *testing.T, opts Options) *Queue {
	t.Helper()
	if opts.DB == "" {
		opts.DB = shared.DB(t)
	}
	q, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// work runs a worker until the end of the test, or until the returned function is called.
func work(t *testing.T, q *Queue, opts spoolgore.Options) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Work(ctx, opts); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if t.Failed() || time.Now().After(end) {
			t.Fatal("not within the limit: ", what)
		}
	}
}

// mail returns a message with a subject.
func mail(subject string) string {
	return fmt.Sprintf("From: a@example.com\nTo: b@example.org\nSubject: %s\nMessage-ID: <%s@example.com>\n\nbody of %s\n",
		subject, subject, subject)
}

func put(t *testing.T, q *Queue, env spoolgore.Envelope, text string) string {
	t.Helper()
	if env.To == nil {
		env.From, env.To = "a@example.com", []string{"b@example.org"}
	}
	name, err := q.Put(t.Context(), env, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// rows returns the number of messages in the database.
func rows(t *testing.T, q *Queue) (n int) {
	t.Helper()
	n, err := q.store.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPutAndSend(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{})
	work(t, q, spoolgore.Options{SMTPAddr: "mail.example.com:25", Dial: relay.Dial})
	put(t, q, spoolgore.Envelope{}, mail("one"))
	put(t, q, spoolgore.Envelope{From: "a@example.com", To: []string{"x@example.org", "y@example.org"}}, mail("two"))
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	got := relay.Messages()
	is.Equal(len(got), 2)
	for _, m := range got {
		if len(m.To) == 2 {
			is.Equal(m.To, []string{"x@example.org", "y@example.org"})
			continue
		}
		is.True(bytes.Contains(m.Data, []byte("\r\nSubject: one\r\n"))) // the content, with CRLF
		is.True(bytes.Contains(m.Data, []byte("\r\n\r\nbody of one\r\n")))
	}
}
