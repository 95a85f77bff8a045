//go:build unix

package river

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/matryer/is"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet"
	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/internal/smtptest"
)

const (
	writers = 24 // goroutines that put mail
	workers = 20 // jobs of River at a time, as many as connections
)

var quiet = slog.New(slog.DiscardHandler)

var envelope = spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}}

// text returns message i, of 4 KiB.
func text(i int) string {
	const line = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
	return fmt.Sprintf("From: a@example.com\nTo: b@example.org\nSubject: m%d\nMessage-ID: <%d@example.com>\n\n", i, i) +
		strings.Repeat(line, 55)
}

func options(relay *smtptest.Relay) spoolgore.Options {
	return spoolgore.Options{
		SMTPAddr: "mail.example.com:25", Dial: relay.Dial, LocalName: "bench.example.com", Concurrency: workers, Logger: quiet,
	}
}

// A peer keeps messages and sends them.
type peer struct {
	put  func(i int) error
	left func() int // messages that are kept
	end  func()
}

// spool returns a local spool.
func spool(t *testing.T, relay *smtptest.Relay) peer {
	s := spoolgore.New(t.TempDir(), options(relay))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return peer{
		put: func(i int) error {
			_, err := s.Put(ctx, envelope, strings.NewReader(text(i)))
			return err
		},
		left: func() int { return s.Health().Files },
		end: func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		},
	}
}

// queue returns a fleet with one worker, in the database of pool.
func queue(t *testing.T, pool *pgxpool.Pool, q *fleet.Queue, relay *smtptest.Relay) peer {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Work(ctx, options(relay)) }()
	return peer{
		put: func(i int) error {
			_, err := q.Put(context.Background(), envelope, strings.NewReader(text(i)))
			return err
		},
		left: func() int { return count(t, pool, `SELECT count(*) FROM spoolgore.message`) },
		end: func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		},
	}
}

// mail is a job of River: one message.
type mail struct{ Text string }

func (mail) Kind() string { return "mail" }

// sender does jobs with the SMTP transport of Spoolgore.
type sender struct {
	river.WorkerDefaults[mail]
	smtp spoolgore.Transport
}

func (s *sender) Work(ctx context.Context, job *river.Job[mail]) error {
	text := job.Args.Text
	return s.smtp.Deliver(ctx, &spoolgore.Transaction{
		Envelope: envelope, Size: int64(len(text)), Content: func() io.Reader { return strings.NewReader(text) },
	})[0].Err
}

// jobs returns a client of River, in the database of pool, at the setting that was the fastest one.
func jobs(t *testing.T, pool *pgxpool.Pool, relay *smtptest.Relay) peer {
	is := is.New(t)
	smtp, err := spoolgore.NewSMTP(options(relay))
	is.NoErr(err)
	known := river.NewWorkers()
	river.AddWorker(known, &sender{smtp: smtp})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}}, Workers: known,
		FetchCooldown: river.FetchCooldownMin, Logger: quiet,
	})
	is.NoErr(err)
	is.NoErr(client.Start(context.Background()))
	return peer{
		put: func(i int) error {
			_, err := client.Insert(context.Background(), mail{strings.ReplaceAll(text(i), "\n", "\r\n")}, nil)
			return err
		},
		left: func() int { return count(t, pool, `SELECT count(*) FROM river_job WHERE state <> 'completed'`) },
		end: func() {
			is.NoErr(client.Stop(context.Background()))
			is.NoErr(smtp.(io.Closer).Close())
		},
	}
}

func count(t *testing.T, pool *pgxpool.Pool, query string) (n int) {
	if err := pool.QueryRow(context.Background(), query).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

// measure has the peer p take and send n messages, and returns how long that takes.
func measure(t *testing.T, p peer, n int, relay *smtptest.Relay) time.Duration {
	defer p.end()
	began := time.Now()
	var all sync.WaitGroup
	for k := range writers {
		all.Go(func() {
			for i := k; i < n; i += writers {
				if err := p.put(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	for end := time.Now().Add(time.Minute); len(relay.Messages()) < n || p.left() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d messages after a minute", len(relay.Messages()), n)
		}
	}
	took := time.Since(began)
	if len(relay.Messages()) != n {
		t.Errorf("%d messages of %d", len(relay.Messages()), n)
	}
	return took
}

// TestThroughput compares Put by 24 goroutines, and one worker, of a local spool, a fleet and River, in turn. Each has
// a relay of its own, and a connection pool of the same size.
func TestThroughput(t *testing.T) {
	is := is.New(t)
	n, rounds := 50, 1
	if os.Getenv("SPOOLGORE_FLEET") == "figures" {
		n, rounds = 3000, 5
	}
	server, err := pgtest.New()
	pgtest.Need(t, err)
	t.Cleanup(server.Remove)
	database := func(name string) (url string, pool *pgxpool.Pool) {
		url, err := server.Create(name)
		is.NoErr(err)
		config, err := pgxpool.ParseConfig(url)
		is.NoErr(err)
		config.MaxConns = writers + 6
		pool, err = pgxpool.NewWithConfig(t.Context(), config)
		is.NoErr(err)
		t.Cleanup(pool.Close)
		return url, pool
	}
	url, fleetPool := database("fleet")
	q, err := fleet.Open(t.Context(), fleet.Options{DB: url})
	is.NoErr(err)
	t.Cleanup(q.Close)
	_, riverPool := database("river")
	migrator, err := rivermigrate.New(riverpgxv5.New(riverPool), nil)
	is.NoErr(err)
	_, err = migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	is.NoErr(err)
	for round := range rounds {
		var line []string
		for _, x := range []struct {
			name  string
			begin func(relay *smtptest.Relay) peer
		}{
			{"local", func(relay *smtptest.Relay) peer { return spool(t, relay) }},
			{"fleet", func(relay *smtptest.Relay) peer { return queue(t, fleetPool, q, relay) }},
			{"River", func(relay *smtptest.Relay) peer { return jobs(t, riverPool, relay) }},
		} {
			relay := &smtptest.Relay{}
			before, _ := server.Processor()
			took := measure(t, x.begin(relay), n, relay)
			after, _ := server.Processor()
			line = append(line, fmt.Sprintf("%s %.0f/s, server %.2f ms a message",
				x.name, float64(n)/took.Seconds(), 1000*(after-before)/float64(n)))
		}
		t.Logf("round %d: %s", round, strings.Join(line, "; "))
	}
}
