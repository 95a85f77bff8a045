package retry

import (
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestAfter(t *testing.T) {
	is := is.New(t)
	for n, want := range map[int]time.Duration{0: 1, 1: 1, 2: 2, 29: 29, 30: 30, 31: 30, 1000: 30} {
		is.Equal(After(n), want*time.Minute) // n minutes, 30 at most
	}
}

func TestEnd(t *testing.T) {
	came := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		notBefore, expire, seen, want time.Time
		maxAge                        time.Duration
	}{
		"its age":                   {maxAge: day, want: came.Add(day)},
		"from when it may be sent":  {notBefore: came.Add(day), maxAge: day, want: came.Add(2 * day)},
		"its sender wants it so":    {expire: came.Add(time.Hour), maxAge: day, want: came.Add(time.Hour)},
		"its sender wants too much": {expire: came.Add(9 * day), maxAge: day, want: came.Add(day)},
		"last chance":               {seen: came.Add(9 * day), maxAge: day, want: came.Add(9*day + LastChance)},
		"shorter last chance":       {seen: came.Add(9 * day), maxAge: time.Minute, want: came.Add(9*day + time.Minute)},
		"expired before it is seen": {seen: came.Add(9 * day), expire: came.Add(time.Hour), maxAge: day, want: came.Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(End(came, c.notBefore, c.expire, c.seen, c.maxAge), c.want) // the time of giving up
		})
	}
}
