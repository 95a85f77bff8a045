package web

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	share     = 19              // time at rest for each unit of time that reading the spool took
	shortest  = time.Second     // between two readings
	quick     = time.Second / 4 // how long a reading may take to be waited for although there is an older one
	rowsTime  = 2 * time.Minute // rows are kept that long after somebody has asked for some
	mostRows  = 250_000         // that are kept
	mostShown = 8               // groups
	mostTo    = 5               // recipients of a row
)

// table is what the spool holds, as was last read. It is read when somebody asks, and no more often than is cheap.
type table struct {
	dir, status string
	load        func(dir, status string, now time.Time, rows bool) (*reading, error) // read, but for tests

	mu     sync.Mutex
	last   *reading      // nil: there is none yet
	err    error         // why there is no later one; nil: there is, or it was not tried
	next   time.Time     // last is good until then
	wanted time.Time     // when rows were last asked for
	under  chan struct{} // closed when the reading that is under way is over; nil: none is
	stale  bool          // the spool has been changed since that began
}

// reading is one look at the spool. It is never changed.
type reading struct {
	at time.Time
	*qshape.Counts
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
	state                  mailq.State
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

// errReading says that the spool is large and was not read yet.
var errReading = errors.New("the messages are still being counted; ask again in a moment")

// get returns a reading that is not much older than it took to make, with rows if they are wanted. Who can have the one
// before does not wait for one that takes long; who cannot does for as long as patience says, or until ctx ends, and then
// gets errReading. Other errors say that the spool cannot be read.
func (t *table) get(ctx context.Context, rows bool, patience time.Duration) (*reading, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if rows {
		t.wanted = now
	}
	has := t.has(rows)
	if has && now.Before(t.next) {
		return t.last, t.err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait := patience
	if has {
		wait = quick
	}
	t.await(ctx, t.begin(), wait)
	if !t.has(rows) && t.err == nil {
		t.await(ctx, t.begin(), patience) // the one that was under way had been begun before anybody wanted rows
	}
	switch {
	case t.err != nil:
		return nil, t.err
	case t.has(rows):
		return t.last, nil
	}
	return nil, errReading
}

// begin has the spool read, if it is not just being read, and returns what is closed when that is over.
func (t *table) begin() chan struct{} {
	if t.under == nil {
		now := time.Now()
		t.under, t.stale = make(chan struct{}), false
		go t.read(t.under, now, now.Sub(t.wanted) < rowsTime)
	}
	return t.under
}

// await waits, without the lock, until the reading is over, or ctx ends, and no longer than patience says.
func (t *table) await(ctx context.Context, over chan struct{}, patience time.Duration) {
	t.mu.Unlock()
	defer t.mu.Lock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// has reports whether there is a reading, with rows if they are wanted.
func (t *table) has(rows bool) bool { return t.last != nil && (!rows || t.last.rows != nil) }

// read reads the spool and closes over.
func (t *table) read(over chan struct{}, now time.Time, rows bool) {
	r, err := t.look(now, rows)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err = err; err == nil {
		t.last = r
	}
	if t.next = time.Now().Add(restAfter(time.Since(now))); t.stale {
		t.next = time.Time{}
	}
	t.under = nil
	close(over)
}

// look is load. A panic, over a message that nobody has thought of, is an error: mail goes on.
func (t *table) look(now time.Time, rows bool) (r *reading, err error) {
	defer func() {
		if v := recover(); v != nil {
			r, err = nil, fmt.Errorf("this is a fault of the program: %v", v)
		}
	}()
	return t.load(t.dir, t.status, now, rows)
}

// restAfter is how long the spool is not read after a reading that took so long.
func restAfter(cost time.Duration) time.Duration { return max(shortest, share*cost) }

// expire has the spool read anew, as it has just been changed: what is in gone, place and name, is not there any more.
func (t *table) expire(gone map[[2]string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next, t.stale = time.Time{}, true
	if t.has(true) && len(gone) > 0 {
		r := *t.last
		r.rows = slices.DeleteFunc(slices.Clone(r.rows), func(r row) bool { return gone[[2]string{string(r.place), r.name}] })
		t.last = &r
	}
}

// read reads the spool.
func read(dir, status string, now time.Time, rows bool) (*reading, error) {
	view, err := mailq.Of(dir, status, now)
	if err != nil {
		return nil, err
	}
	r := &reading{at: now, Counts: qshape.New(now)}
	if rows {
		r.rows = []row{}
	}
	err = view.Each(everywhere, func(e *mailq.Entry) error {
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
func groups(shapes []qshape.Shape, all int) []group {
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

func rowOf(e *mailq.Entry) row {
	r := row{
		name: e.Name, from: unique.Make(e.From).Value(), reason: unique.Make(e.Reason).Value(), since: e.Since(), next: e.NextAttempt,
		id: spooldir.IDOf(e.Info), attempts: int32(e.Attempts), state: e.State, place: e.Place,
	}
	var to []string
	e.Recipients(func(rcpt *record.Recipient) {
		if rcpt.Accepted() {
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
func (r *row) matches(states []mailq.State, text string) bool {
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
