package mailq

import (
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// Query chooses messages of a View. The zero value chooses all.
type Query struct {
	Filter
	Places []spooldir.Place // nil: all
	ID     string           // the sender's own id; empty: any
	After  string           // names that sort behind After; empty: all
	Limit  int              // number of messages, the first by name; zero: no limit
}

// Select returns the messages that q chooses, sorted by name and place. A message without a record has the sender and
// the recipients of its file.
func (v *View) Select(q Query) (found []*Entry, err error) {
	places := q.Places
	if places == nil {
		places = []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}
	}
	err = v.Each(places, func(e *Entry) error {
		if q.After != "" && e.Name <= q.After {
			return nil
		}
		if v.ReadHeader(e); q.Match(e, v.now) && (q.ID == "" || e.ID == q.ID) {
			found = append(found, e)
		}
		if q.Limit > 0 && len(found) >= 2*q.Limit+1000 {
			found = first(found, q.Limit)
		}
		return nil
	})
	return first(found, q.Limit), err
}

// first sorts entries and returns the first n; zero: all.
func first(all []*Entry, n int) []*Entry {
	slices.SortFunc(all, func(a, b *Entry) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(string(a.Place), string(b.Place))
	})
	for n > 0 && n < len(all) && all[n].Name == all[n-1].Name {
		n++ // the next page begins behind the name
	}
	if n > 0 && len(all) > n {
		clear(all[n:])
		all = all[:n]
	}
	return all
}
