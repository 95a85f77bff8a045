package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// names returns the places and names of the messages that f chooses.
func names(t *testing.T, s *Spool, f Filter) (all []string) {
	t.Helper()
	for e, err := range s.Messages(f) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(e.Place)+"/"+e.Name+" "+e.State)
	}
	return all
}

func TestControl(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		var answer atomic.Pointer[Result] // of the relay; goroutines of the spool read it
		answer.Store(&Result{Err: &DeliveryError{Fault: FaultRecipient, Permanent: true, Err: errors.New("no such user")}})
		dir := t.TempDir()
		drop(t, dir, "a", simple)
		s, stop := start(t, dir, Options{Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			return []Result{*answer.Load()}
		})})
		pass(time.Second)
		is.Equal(names(t, s, Filter{}), []string{"failed/a failed"})
		failed, err := s.Get(PlaceFailed, "a")
		is.NoErr(err)
		is.Equal(failed.To[0].Error, "no such user")
		is.True(failed.To[0].History != nil)
		is.True(!failed.GivenUp.IsZero())

		answer.Store(&Result{Err: errors.New("later")})
		is.NoErr(s.Retry(PlaceFailed, "a"))
		pass(time.Second)
		is.Equal(names(t, s, Filter{}), []string{"/a deferred"}) // the present state, and not that of the status file
		is.NoErr(s.Hold("a"))
		pass(time.Second)
		is.Equal(names(t, s, Filter{}), []string{"hold/a held"})
		is.True(errors.Is(s.Hold("a"), fs.ErrNotExist))
		pass(24 * time.Hour)
		is.NoErr(s.Release("a"))
		pass(time.Second)
		answer.Store(&Result{})
		is.NoErr(s.Retry(PlaceSpool, "a"))
		pass(time.Second)
		is.Equal(names(t, s, Filter{}), nil) // delivered
		_, err = s.Get(PlaceSpool, "a")
		is.True(errors.Is(err, fs.ErrNotExist))

		answer.Store(&Result{Err: errors.New("later")})
		drop(t, dir, "b", simple)
		pass(time.Minute)
		is.NoErr(s.Delete(PlaceSpool, "b"))
		is.True(errors.Is(s.Delete(PlaceSpool, "b"), fs.ErrNotExist))
		is.True(s.Delete(PlaceSpool, "../x") != nil)
		pass(time.Minute)
		is.Equal(len(s.Status()), 0)
		stop()
		drop(t, dir, "c", simple)
		is.Equal(names(t, s, Filter{}), []string{"/c new"}) // Messages needs no Run
		is.NoErr(s.Hold("c"))
		is.Equal(names(t, s, Filter{Places: []Place{PlaceSpool}}), nil)
	})
}

func TestMessagesByPage(t *testing.T) {
	is := is.New(t)
	s := New(t.TempDir(), Options{})
	for i := range 25 {
		env := Envelope{From: "a@example.com", To: []string{fmt.Sprintf("b%d@example.org", i%2)}, ID: fmt.Sprint(i)}
		_, err := s.Put(t.Context(), env, strings.NewReader(simple))
		is.NoErr(err)
	}
	after, seen, pages := "", map[string]bool{}, 0
	for {
		n := 0
		for e, err := range s.Messages(Filter{After: after, Limit: 10}) {
			is.NoErr(err)
			is.True(e.Name > after)
			after, n = e.Name, n+1
			seen[e.ID] = true
		}
		if n == 0 {
			break
		}
		pages++
	}
	is.Equal(len(seen), 25)
	is.Equal(pages, 3)
	is.Equal(len(names(t, s, Filter{To: "b1@example.org"})), 12)
	is.Equal(len(names(t, s, Filter{ID: "17"})), 1)
	is.Equal(len(names(t, s, Filter{From: "@example.org"})), 0)
}

// A panic of a Transport is an outcome, a panic of a hook is logged, and the spool goes on.
func TestPanicsOfTheApplication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, log, calls := t.TempDir(), &lines{}, 0
		drop(t, dir, "a", simple)
		s, stop := start(t, dir, Options{
			Logger:  slog.New(slog.NewTextHandler(log, nil)),
			OnEvent: func(Event) { panic("hook") },
			Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
				if calls++; calls == 1 {
					panic("transport")
				}
				return make([]Result, len(tx.To))
			}),
		})
		pass(time.Second)
		is.Equal(one(t, s.Status()).To[0].Error, "Transport.Deliver panicked: transport")
		pass(time.Hour)
		is.Equal(len(s.Status()), 0) // delivered by the second attempt
		stop()
		is.True(strings.Contains(log.String(), "control_test.go")) // the stack
	})
}

// An HTTP API replies with Retry-After: the recipient, or the whole transport, is not used for that long.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, fault := range []Fault{FaultRecipient, FaultRelay} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir, began, times := t.TempDir(), time.Now(), []time.Duration(nil)
			drop(t, dir, "a", simple)
			_, stop := start(t, dir, Options{Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
				if times = append(times, time.Since(began)); len(times) == 2 {
					return make([]Result, len(tx.To))
				}
				return []Result{{RetryAfter: 40 * time.Minute, Err: &DeliveryError{Fault: fault, Err: errors.New("429")}}}
			})})
			pass(2 * time.Hour)
			stop()
			is.Equal(len(times), 2)
			is.True(times[1] >= 40*time.Minute)
			is.True(times[1] < 41*time.Minute)
		})
	}
}

// A touch would put a file with a temporary name off for an hour.
func TestRetryOfATemporaryName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		drop(t, dir, "m.own", simple)
		sent := make(chan time.Time, 1)
		accepts := TransportFunc(func(context.Context, *Transaction) []Result {
			sent <- time.Now()
			return make([]Result, 1)
		})
		began := time.Now()
		s, stop := start(t, dir, Options{Transport: accepts, TemporaryNames: []string{"*.own"}})
		pass(50 * time.Minute)
		is.Equal(names(t, s, Filter{}), []string{"/m.own temporary"})
		is.True(s.Retry(PlaceSpool, "m.own") != nil)
		is.True(s.Redirect(PlaceSpool, "m.own", "c@x.org") != nil)
		pass(11 * time.Minute)
		is.True((<-sent).Sub(began) < 65*time.Minute)
		stop()
	})
}
