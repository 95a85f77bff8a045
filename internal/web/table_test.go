package web

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// slowTable returns the table of a spool that takes time to read.
func slowTable(cost *time.Duration) (t *table, loads *atomic.Int32) {
	loads = new(atomic.Int32)
	return &table{load: func(_, _ string, now time.Time, rows bool) (*reading, error) {
		time.Sleep(*cost)
		loads.Add(1)
		if *cost == 0 {
			return nil, errors.New("no disk")
		}
		r := &reading{at: now, Counts: qshape.New(now)}
		if rows {
			r.rows = []row{{name: "a"}, {name: "b"}, {name: "b", place: spooldir.Hold}}
		}
		return r, nil
	}}, loads
}

func TestALargeSpoolKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		cost, ctx := 10*time.Second, t.Context()
		table, loads := slowTable(&cost)
		began := time.Now()
		_, err := table.get(ctx, false, time.Second)
		is.Equal(err, errReading)
		is.Equal(time.Since(began), time.Second) // the given limit, as there is no earlier reading
		gone, cancel := context.WithTimeout(ctx, time.Second)
		_, err = table.get(gone, false, time.Hour)
		cancel()
		is.Equal(err, errReading)
		first, err := table.get(ctx, false, time.Minute)
		is.NoErr(err)
		is.Equal(time.Since(began), 10*time.Second)
		is.Equal(loads.Load(), int32(1)) // one reading for all callers

		time.Sleep(180 * time.Second)
		again, err := table.get(ctx, false, time.Minute)
		is.NoErr(err)
		is.True(again == first) // a twentieth of the time
		time.Sleep(15 * time.Second)
		began = time.Now()
		again, err = table.get(ctx, false, time.Minute)
		is.NoErr(err)
		is.True(again == first)
		is.Equal(time.Since(began), quick) // the earlier reading at once, instead of a new one later
		time.Sleep(10 * time.Second)
		again, err = table.get(ctx, false, time.Minute)
		is.NoErr(err)
		is.True(again != first)
		is.Equal(loads.Load(), int32(2))
	})
}

// A page requests the state and the messages at the same time.
func TestRowsAreWaitedForBehindAReadingWithoutThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		cost, ctx := 10*time.Second, t.Context()
		table, loads := slowTable(&cost)
		_, err := table.get(ctx, false, time.Second)
		is.Equal(err, errReading)
		began := time.Now()
		_, err = table.get(ctx, true, 5*time.Second)
		is.Equal(err, errReading)
		is.Equal(time.Since(began), 5*time.Second) // the given limit
		r, err := table.get(ctx, true, time.Minute)
		is.NoErr(err)
		is.Equal(len(r.rows), 3)
		is.Equal(loads.Load(), int32(2))
	})
}

// A panic while a message is read must not end the daemon.
func TestAFaultInReadingIsAnError(t *testing.T) {
	is := is.New(t)
	table := &table{load: func(string, string, time.Time, bool) (*reading, error) { panic("oh") }}
	for range 2 {
		_, err := table.get(t.Context(), true, patience)
		is.True(err != nil && strings.Contains(err.Error(), "oh"))
	}
}

func TestActionsAreSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		cost, ctx := 10*time.Second, t.Context()
		table, _ := slowTable(&cost)
		first, err := table.get(ctx, true, time.Minute)
		is.NoErr(err)
		table.expire(map[[2]string]bool{{"", "b"}: true, {"", "a"}: false})
		again, err := table.get(ctx, true, time.Minute)
		is.NoErr(err)
		is.Equal(len(again.rows), 2) // b is not in the spool any more; a was only tried; the held b is another message
		is.Equal(again.rows[1].place, spooldir.Hold)
		is.Equal(len(first.rows), 3)

		table.expire(nil) // during a reading
		time.Sleep(11 * time.Second)
		began := time.Now()
		_, err = table.get(ctx, true, time.Minute)
		is.NoErr(err)
		is.Equal(time.Since(began), quick) // a new reading begins at once, as that one may lack the change
		time.Sleep(time.Minute)
	})
}

func TestErrorIsReturnedUntilItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		cost, ctx := time.Millisecond, t.Context()
		table, _ := slowTable(&cost)
		_, err := table.get(ctx, false, time.Minute)
		is.NoErr(err)
		time.Sleep(2 * time.Second)
		cost = 0
		for range 2 {
			_, err = table.get(ctx, false, time.Minute)
			is.True(err != nil)
		}
		time.Sleep(2 * time.Second)
		cost = time.Millisecond
		_, err = table.get(ctx, false, time.Minute)
		is.NoErr(err)
	})
}
