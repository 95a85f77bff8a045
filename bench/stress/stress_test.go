// Package stress calls the methods of a running Spool from many goroutines and checks that each message is accepted once.
package stress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unbit/spoolgore"
)

// ledger counts the acceptances of each message by ID.
type ledger struct {
	mu       sync.Mutex
	accepted map[string]int
	deleted  map[string]bool // Delete was called, with or without success
	names    []named         // some of the messages that were put
}

type named struct{ id, file string }

func (l *ledger) put(m named) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names) < 5000 {
		l.names = append(l.names, m)
	} else {
		l.names[rand.IntN(len(l.names))] = m
	}
}

func (l *ledger) any() (named, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names) == 0 {
		return named{}, false
	}
	return l.names[rand.IntN(len(l.names))], true
}

var errLater = errors.New("later")

// Deliver accepts nine of ten messages, and defers the others.
func (l *ledger) Deliver(_ context.Context, t *spoolgore.Transaction) []spoolgore.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	if rand.IntN(10) == 0 {
		return []spoolgore.Result{{Err: errLater}}
	}
	l.accepted[t.ID]++
	return make([]spoolgore.Result, len(t.To))
}

func setting(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

// TestStress runs for STRESS_SECONDS (2) with STRESS_GOROUTINES (50). .ci/full runs it for a minute with 1,000 and the
// race detector.
func TestStress(t *testing.T) {
	l := &ledger{accepted: make(map[string]int), deleted: make(map[string]bool)}
	opts := spoolgore.Options{
		Transport: l, NoReports: true, Logger: slog.New(slog.DiscardHandler), Trace: 100, Concurrency: 50,
		Backoff: func(int) time.Duration { return 10 * time.Millisecond },
	}
	s := spoolgore.New(t.TempDir(), opts)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()

	over := time.Now().Add(time.Duration(setting("STRESS_SECONDS", 2)) * time.Second)
	var wg sync.WaitGroup
	var mu sync.Mutex
	all := []string{}
	for g := range setting("STRESS_GOROUTINES", 50) {
		wg.Go(func() {
			var put []string
			for i := 0; time.Now().Before(over); i++ {
				if id := fmt.Sprint(g, "-", i); act(t, s, l, opts, id) {
					put = append(put, id)
				}
			}
			mu.Lock()
			all = append(all, put...)
			mu.Unlock()
		})
	}
	wg.Wait()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	finish(t, s)
	for _, id := range all {
		n := l.accepted[id]
		if n != 1 && (n != 0 || !l.deleted[id]) {
			t.Errorf("%s was accepted %d times, deleted: %v", id, n, l.deleted[id])
		}
	}
	t.Logf("%d messages, %d deleted", len(all), len(l.deleted))
}

// act calls one method at random. It reports whether a message with the given ID was put.
func act(t *testing.T, s *spoolgore.Spool, l *ledger, opts spoolgore.Options, id string) bool {
	m, some := l.any()
	allowed := func(err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			t.Log(err) // the message is moved or removed at this moment
		}
	}
	switch n := rand.IntN(100); {
	case n < 60 || !some:
		env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}, ID: id}
		name, err := s.Put(t.Context(), env, bytes.NewReader([]byte("Subject: x\n\nx\n")))
		if err != nil {
			t.Error(err)
			return false
		}
		l.put(named{id, name})
		return true
	case n < 70:
		allowed(s.Hold(m.file))
	case n < 80:
		allowed(s.Release(m.file))
	case n < 84:
		l.mu.Lock()
		l.deleted[m.id] = true
		l.mu.Unlock()
		allowed(s.Delete([]spoolgore.Place{spoolgore.PlaceSpool, spoolgore.PlaceHold}[n%2], m.file))
	case n < 94:
		allowed(s.Retry(spoolgore.PlaceSpool, m.file))
	case n < 96:
		s.Health()
	case n < 98:
		_, err := s.Get(spoolgore.PlaceSpool, m.file)
		allowed(err)
	case n < 99:
		if rand.IntN(20) == 0 {
			s.Status()
		}
	default:
		opts.Concurrency = 10 + rand.IntN(50)
		if err := s.Reconfigure(opts); err != nil {
			t.Error(err)
		}
	}
	return false
}

// finish releases and sends all remaining messages.
func finish(t *testing.T, s *spoolgore.Spool) {
	t.Helper()
	for round, left := 0, true; left; round++ {
		left = false
		for m, err := range s.Messages(spoolgore.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if round > 100 {
				t.Logf("left after %d rounds: %+v", round, m)
			}
			left = true
			switch {
			case m.Place == spoolgore.PlaceHold:
				err = s.Release(m.Name)
			case m.Place == spoolgore.PlaceFailed && strings.Contains(m.Reason, "changed after it was sent"):
				err = s.Delete(m.Place, m.Name) // a Retry touched the file during its transaction
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Drain(t.Context()); err != nil || round > 110 {
			t.Fatal("some messages cannot be sent: ", err)
		}
	}
}
