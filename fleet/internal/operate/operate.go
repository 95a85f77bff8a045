// Package operate lists and steers the messages of a fleet for people: what the commands and the page of the core show
// of a spool, from the database.
package operate

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/fleet/internal/worker"
	"github.com/unbit/spoolgore/internal/cli"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/sentlog"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Queue is the queue of a fleet for the commands of the core.
type Queue struct {
	Acts
	Now time.Time // of the server; zero: that of this host
}

var _ cli.Queue = (*Queue)(nil)

// pageSize is the number of messages that Each reads at a time.
const pageSize = 1000

// statesOf returns the states of a place.
func statesOf(p spooldir.Place) []store.State {
	switch p {
	case spooldir.Hold:
		return []store.State{store.Held}
	case spooldir.Failed:
		return []store.State{store.Failed}
	}
	return []store.State{store.Ready, store.Waiting, store.LeasedOut}
}

// Path names the queue.
func (q *Queue) Path() string {
	host, name := q.Store.Place()
	return "fleet " + name + " on " + host
}

func (q *Queue) now() time.Time {
	if q.Now.IsZero() {
		return time.Now()
	}
	return q.Now
}

// Each implements mailq.Source.
func (q *Queue) Each(places []spooldir.Place, each func(*mailq.Entry) error) error {
	return q.each(store.Selection{}, places, each)
}

func (q *Queue) each(s store.Selection, places []spooldir.Place, each func(*mailq.Entry) error) error {
	for _, p := range places {
		s.States = append(s.States, statesOf(p)...)
	}
	s.Limit = pageSize
	for {
		page, err := q.Store.List(q.Ctx, s)
		if err != nil {
			return err
		}
		for i := range page {
			s.After = page[i].ID
			if err := each(q.Entry(&page[i])); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
	}
}

// Entry returns a message as the commands show it.
func (q *Queue) Entry(l *store.Listed) *mailq.Entry {
	var header *message.Header
	if len(l.Head) > 0 {
		header, _ = message.ReadHeader(bytes.NewReader(l.Head), int64(len(l.Head))) // else the header is not shown
	}
	_, m, err := worker.RecordOf(leasedOf(l), header)
	if err != nil && m.Error == "" {
		m.Error = err.Error()
	}
	place := spooldir.Spool
	switch {
	case l.State == store.Held:
		place = spooldir.Hold
		if l.Due != nil {
			m.Held = *l.Due
		}
	case l.State == store.Failed:
		place = spooldir.Failed
	}
	e := mailq.NewEntry(place, strconv.FormatInt(l.ID, 10), m, l.State == store.LeasedOut, q.now())
	e.Size, e.Host = l.Size, l.Host
	switch {
	case place == spooldir.Failed && l.Due != nil:
		e.GivenUp = *l.Due
	case place == spooldir.Failed:
		e.GivenUp = m.LastAttempt()
	case l.State == store.Ready:
		e.State, e.NextAttempt = mailq.Waiting, time.Time{}
	case l.State == store.Waiting && l.Due != nil:
		e.NextAttempt = *l.Due
		if e.State = mailq.Deferred; e.Attempts == 0 && m.NotBefore.After(q.now()) {
			e.State = mailq.Scheduled
		}
	}
	return e
}

// find returns the row of a message.
func (q *Queue) find(name string, head bool) (*store.Listed, error) {
	id, err := strconv.ParseInt(name, 10, 64)
	if err != nil || id <= 0 {
		return nil, fs.ErrNotExist
	}
	all, err := q.Store.List(q.Ctx, store.Selection{ID: id, Head: head})
	if err == nil && len(all) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}

// Find implements mailq.Source.
func (q *Queue) Find(place spooldir.Place, name string) (*mailq.Entry, error) {
	l, err := q.find(name, true)
	if err == nil && !slices.Contains(statesOf(place), l.State) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return q.Entry(l), nil
}

// ReadHeader implements mailq.Source. Entries have what is known.
func (q *Queue) ReadHeader(*mailq.Entry) {}

// Open opens the content of e as it was put.
func (q *Queue) Open(e *mailq.Entry) (cli.Content, error) {
	id, err := strconv.ParseInt(e.Name, 10, 64)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	r := worker.Content(q.Ctx, &store.Leases{Store: q.Store}, id, e.Size)
	return content{io.NewSectionReader(r, 0, e.Size)}, nil
}

// content is the content of a message.
type content struct{ *io.SectionReader }

// Close does nothing.
func (content) Close() error { return nil }

// CountFailed returns the number of failed messages; after an error, zero.
func (q *Queue) CountFailed() int {
	n, _ := q.Store.CountOf(q.Ctx, store.Selection{States: []store.State{store.Failed}}, 1<<30)
	return n
}

// Spent returns the count of the limits of rate.
func (q *Queue) Spent() []byte {
	state, _ := q.Store.Spent(q.Ctx) // without it, nothing is known of the limits
	return state
}

// maxOutcomes bounds the outcomes that are read.
const maxOutcomes = 1_000_000

// Outcomes calls each for the outcomes that are remembered.
func (q *Queue) Outcomes(_ string, each func(*sentlog.Entry) error) error {
	all, err := q.Store.Outcomes(q.Ctx, maxOutcomes)
	for _, text := range all {
		e := new(sentlog.Entry)
		if json.Unmarshal([]byte(text), e) != nil || e.Outcome == "" {
			continue // of another version
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return err
}

// About calls each for the messages that query may mean.
func (q *Queue) About(query string, each func(*mailq.Entry) error) error {
	places := []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}
	if id, err := strconv.ParseInt(query, 10, 64); err == nil && id > 0 {
		return q.each(store.Selection{ID: id, Head: true}, places, each)
	}
	return q.each(store.Selection{Head: true}, places, each)
}
