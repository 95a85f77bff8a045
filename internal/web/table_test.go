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

// slowTable is a table of a spool that takes so long to read.
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
		is.Equal(time.Since(began), time.Second) // as long as was said, where there is nothing yet
		gone, cancel := context.WithTimeout(ctx, time.Second)
		_, err = table.get(gone, false, time.Hour)
		cancel()
		is.Equal(err, errReading)
		first, err := table.get(ctx, false, time.Minute)
		is.NoErr(err)
		is.Equal(time.Since(began), 10*time.Second)
		is.Equal(loads.Load(), int32(1)) // one for all

		time.Sleep(180 * time.Second)
		again, err := table.get(ctx, false, time.Minute)
		is.NoErr(err)
		is.True(again == first) // a twentieth of the time
		time.Sleep(15 * time.Second)
		began = time.Now()
		again, err = table.get(ctx, false, time.Minute)
		is.NoErr(err)
		is.True(again == first)
		is.Equal(time.Since(began), quick) // an old one at once, rather than a new one later
		time.Sleep(10 * time.Second)
		again, err = table.get(ctx, false, time.Minute)
		is.NoErr(err)
		is.True(again != first)
		is.Equal(loads.Load(), int32(2))
	})
}

// A page asks for how it is and for the messages in one breath.
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
		is.Equal(time.Since(began), 5*time.Second) // as long as was said, and no longer
		r, err := table.get(ctx, true, time.Minute)
		is.NoErr(err)
		is.Equal(len(r.rows), 3)
		is.Equal(loads.Load(), int32(2))
	})
}

// A message that nobody has thought of must not end the daemon.
func TestAFaultInReadingIsAnError(t *testing.T) {
	is := is.New(t)
	table := &table{load: func(string, string, time.Time, bool) (*reading, error) { panic("oh") }}
	for range 2 {
		_, err := table.get(t.Context(), true, patience)
		is.True(err != nil && strings.Contains(err.Error(), "oh"))
	}
}

func TestWhatWasDoneIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		cost, ctx := 10*time.Second, t.Context()
		table, _ := slowTable(&cost)
		first, err := table.get(ctx, true, time.Minute)
		is.NoErr(err)
		table.expire(map[[2]string]bool{{"", "b"}: true, {"", "a"}: false})
		again, err := table.get(ctx, true, time.Minute)
		is.NoErr(err)
		is.Equal(len(again.rows), 2) // b is gone from the spool; a was only tried, and the b that is held is another one
		is.Equal(again.rows[1].place, spooldir.Hold)
		is.Equal(len(first.rows), 3)

		table.expire(nil) // while it is being read
		time.Sleep(11 * time.Second)
		began := time.Now()
		_, err = table.get(ctx, true, time.Minute)
		is.NoErr(err)
		is.Equal(time.Since(began), quick) // that reading may have missed it: there is another one at once
		time.Sleep(time.Minute)
	})
}

func TestATroubleIsToldUntilItIsOver(t *testing.T) {
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
