package worker

import (
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/fleet/internal/acceptlog"
	"github.com/unbit/spoolgore/fleet/internal/store"
)

func TestALineOfTheJournalCountsForItsMessageOnly(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	given := `{"From": "a@x", "To": [{"Address": "b@x", "Status": 2, "GivenUp": true}, {"Address": "c@x"}]}`
	for _, tt := range []struct {
		name   string
		change func(*store.Lost, *acceptlog.Line)
		text   bool
		rcpts  int
		served bool
	}{
		{"all", func(*store.Lost, *acceptlog.Line) {}, true, 0, true},
		{"one of two", func(_ *store.Lost, x *acceptlog.Line) { x.To = x.To[:1] }, true, 1, false},
		{"after another was given up", func(m *store.Lost, _ *acceptlog.Line) { m.Record = &given }, true, 0, false},
		{"another uid", func(m *store.Lost, _ *acceptlog.Line) { m.UID = "y" }, false, 0, false},
		{"another time", func(m *store.Lost, _ *acceptlog.Line) { m.Created = created.Add(1000) }, false, 0, false},
		{"no envelope", func(m *store.Lost, _ *acceptlog.Line) { m.Envelope = "{" }, false, 0, false},
	} {
		is := is.New(t)
		m := store.Lost{UID: "x", Created: created, Envelope: `{"from": "a@x", "to": ["b@x", "c@x"]}`}
		x := acceptlog.Line{ID: 1, UID: "x", Created: created.In(time.FixedZone("", 3600)), To: []string{"b@x", "c@x"}, Relay: "r"}
		tt.change(&m, &x)
		text, rcpts, served := accepted(m, x)
		is.Equal(text != nil, tt.text) // tt.name
		is.Equal(rcpts, tt.rcpts)      // tt.name
		is.Equal(served, tt.served)    // tt.name
		is.True(!tt.text || strings.Contains(string(text), `"Relay":"r"`))
	}
}
