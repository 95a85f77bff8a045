package web

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/spooldir"
	"github.com/unbit/spoolgore/internal/spoolview"
	"github.com/unbit/spoolgore/internal/tally"
)

const (
	share     = 19              // time at rest for each unit of time that reading the spool took
	shortest  = time.Second     // between two readings
	rowsTime  = 2 * time.Minute // rows are kept that long after somebody has asked for some
	mostRows  = 250_000         // that are kept
	mostShown = 8               // groups
	mostTo    = 5               // recipients of a row
)

// table is what the spool holds, as was last read. It is read when somebody asks, and no more often than is cheap.
type table struct {
	dir, status string

	mu     sync.Mutex
	last   *reading
	next   time.Time // it is good until then
	wanted time.Time // when rows were last asked for
}

// reading is one look at the spool. It is never changed.
type reading struct {
	at time.Time
	*tally.Tally
	reasons, domains []group
	trouble          string // why the status file tells nothing; empty: it does
	rows             []row  // by age, the oldest first; nil: nobody has asked
	more             int    // messages beyond mostRows
}

// group is a reason or a domain, and how many recipients wait for it.
type group struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// row is a message in a list.
type row struct {
	name, from, to, reason string
	since, next            time.Time
	id                     spooldir.ID
	attempts, recipients   int32
	state                  spoolview.State
	place                  spooldir.Place
}

var everywhere = []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}

// statusPath is the absolute path of the status file; empty: it is where it usually is, under a name that no message has.
func (t *table) statusPath() string {
	if t.status == "" {
		return ""
	}
	path, err := filepath.Abs(t.status)
	if err != nil {
		return t.status
	}
	return path
}

// get returns a reading that is not much older than it took to make. An error says that the spool cannot be read.
func (t *table) get(rows bool) (*reading, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if rows {
		t.wanted = now
	}
	if t.last != nil && now.Before(t.next) && (!rows || t.last.rows != nil) {
		return t.last, nil
	}
	r, err := read(t.dir, t.status, now, now.Sub(t.wanted) < rowsTime)
	if err != nil {
		return nil, err
	}
	t.last, t.next = r, time.Now().Add(restAfter(time.Since(now)))
	return r, nil
}

// restAfter is how long the spool is not read after a reading that took so long.
func restAfter(cost time.Duration) time.Duration { return max(shortest, share*cost) }

// expire has the spool read anew, as it has just been changed.
func (t *table) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = time.Time{}
}

// read reads the spool.
func read(dir, status string, now time.Time, rows bool) (*reading, error) {
	view, err := spoolview.Of(dir, status, now)
	if err != nil {
		return nil, err
	}
	r := &reading{at: now, Tally: tally.New(now)}
	if rows {
		r.rows = []row{}
	}
	err = view.Each(everywhere, func(e *spoolview.Entry) error {
		r.Add(e)
		switch {
		case !rows:
		case len(r.rows) < mostRows:
			r.rows = append(r.rows, rowOf(e))
		default:
			r.more++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if view.Trouble != nil {
		r.trouble = view.Trouble.Error()
	}
	slices.SortStableFunc(r.rows, func(a, b row) int { return a.since.Compare(b.since) })
	r.reasons, r.domains = groups(r.Reasons(mostShown), -1), groups(r.Domains(mostShown), r.Recipients.Total)
	return r, nil
}

// groups are the largest ones, fit to be shown; what is left of all is one more. Of how many there are in all may not be known: -1.
func groups(shapes []tally.Shape, all int) []group {
	list := []group{}
	for _, s := range shapes {
		list = append(list, group{console.Escape(s.Name), s.Total})
		all -= s.Total
	}
	if all > 0 {
		list = append(list, group{others, all})
	}
	return list
}

// others are those that are not told one by one.
const others = "others"

func rowOf(e *spoolview.Entry) row {
	r := row{
		name: e.Name, from: unique.Make(e.From).Value(), reason: unique.Make(e.Reason).Value(), since: e.Since(), next: e.NextAttempt,
		id: spooldir.IDOf(e.Info), attempts: int32(e.Attempts), state: e.State, place: e.Place,
	}
	var to []string
	e.Recipients(func(rcpt *spoolview.Recipient) {
		if rcpt.Served() {
			return
		}
		if r.recipients++; len(to) < mostTo {
			to = append(to, rcpt.Address)
		}
	})
	r.to = strings.Join(to, ", ")
	return r
}

// matches reports whether r is one of those that somebody is looking for; text is in lower case.
func (r *row) matches(states []spoolview.State, text string) bool {
	if !slices.Contains(states, r.state) {
		return false
	}
	if text == "" {
		return true
	}
	for _, in := range []string{r.to, r.from, r.reason, r.name} {
		if strings.Contains(strings.ToLower(in), text) {
			return true
		}
	}
	return false
}

// versionOf names a version of a file, so that nothing is done to another one that has taken its place.
func versionOf(id spooldir.ID) string {
	return fmt.Sprintf("%x-%x-%x", id.Ino, id.Size, id.ModTime.UnixNano())
}
