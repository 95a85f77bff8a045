package mailq

import (
	"time"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A Source has messages: the directory of a spool, or the database of a fleet.
type Source interface {
	// Each calls each for every message in the places, until each returns an error.
	Each(places []spooldir.Place, each func(*Entry) error) error
	// Find returns the message name in place. The error is fs.ErrNotExist if there is none.
	Find(place spooldir.Place, name string) (*Entry, error)
	// ReadHeader sets what the header of e says, if that is not known yet.
	ReadHeader(e *Entry)
}

var _ Source = (*View)(nil)

// NewEntry returns the entry of a message that is no file, with the record m. sending means that the message is in a
// transaction.
func NewEntry(place spooldir.Place, name string, m *record.Message, sending bool, now time.Time) *Entry {
	e := &Entry{Name: name, Place: place, Size: m.Size, Enqueued: m.Enqueued}
	e.fill(m)
	e.conclude(now)
	if sending && e.State != Held && e.State != Failed {
		e.State = Sending
	}
	return e
}
