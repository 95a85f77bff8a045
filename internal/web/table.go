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
	share     = 19              // pause after a reading, as a multiple of the time for the reading
	shortest  = time.Second     // between two readings
	quick     = time.Second / 4 // maximum wait for a new reading if there is an older one
	rowsTime  = 2 * time.Minute // time for which rows are kept after a request
	mostRows  = 250_000         // maximum number of kept rows
	mostShown = 8               // groups
	mostTo    = 5               // recipients of a row
)

// table has the content of the spool as of the last reading. A reading is made on request, and no more often than is
// cheap.
type table struct {
	dir, status string
	load        func(dir, status string, now time.Time, rows bool) (*reading, error) // read, but for tests

	mu     sync.Mutex
	last   *reading      // nil: there is none yet
	err    error         // why the last reading failed; nil: success
	next   time.Time     // last is good until then
	wanted time.Time     // when rows were last asked for
	under  chan struct{} // closed at the end of the running reading; nil: none runs
	stale  bool          // the spool was changed since the start of that reading
}

// reading is the result of one reading of the spool. It is immutable.
type reading struct {
	at time.Time
	*qshape.Counts
	reasons, domains []group
	estimated        bool   // the counts of domains are estimates
	trouble          string // why the status file cannot be used; empty: no problem
	aside            string // newest damaged status file that a start has set aside; empty: none
	rows             []row  // by age, oldest first; nil: not requested
	more             int    // messages beyond mostRows
}

// group is a reason or a domain, and the number of waiting recipients.
type group struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// row is a message in a list.
type row struct {
	name, from, to, reason string
	groups                 string // reasons, domains and relays of the waiting recipients, see grouped
	since, next            time.Time
	id                     spooldir.ID
	attempts, recipients   int32
	state                  mailq.State
	place                  spooldir.Place
}

var everywhere = []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}

// statusPath is the absolute path of the status file; empty: the usual place.
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

// errReading means that the spool is large and its first reading has not ended.
var errReading = errors.New("the messages are still being counted; ask again in a moment")

// get returns a reading, with rows if wanted, that is not much older than the time for a reading. If there is an older
// reading, get does not wait long for a new one. Otherwise it waits for at most patience, or until ctx ends, and
// returns errReading then. Other errors mean that the spool cannot be read.
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
		t.await(ctx, t.begin(), patience) // the running reading began without rows
	}
	switch {
	case t.err != nil:
		return nil, t.err
	case t.has(rows):
		return t.last, nil
	}
	return nil, errReading
}

// begin starts a reading unless one runs, and returns a channel that is closed at its end.
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

// has reports whether there is a reading, with rows if wanted.
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

// look is load with a panic as an error: mail must go on in spite of a bad message.
func (t *table) look(now time.Time, rows bool) (r *reading, err error) {
	defer func() {
		if v := recover(); v != nil {
			r, err = nil, fmt.Errorf("this is a fault of the program: %v", v)
		}
	}()
	return t.load(t.dir, t.status, now, rows)
}

// restAfter returns the pause after a reading of that duration.
func restAfter(cost time.Duration) time.Duration { return max(shortest, share*cost) }

// expire makes the next request read the spool again, after a change. The message gone, place and name, is left out
// until then.
func (t *table) expire(gone map[[2]string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next, t.stale = time.Time{}, true
	if t.has(true) && len(gone) > 0 {
		r := *t.last
		r.rows = slices.DeleteFunc(slices.Clone(r.rows), func(r row) bool {
			return gone[[2]string{string(r.place),
				r.name}]
		})
		t.last = &r
	}
}

// readSpool returns a function that reads the spool. temporary are the patterns of temporary names.
func readSpool(temporary []string) func(dir, status string, now time.Time, rows bool) (*reading, error) {
	return func(dir, status string, now time.Time, rows bool) (*reading, error) {
		view, err := mailq.Of(dir, status, now)
		if err != nil {
			return nil, err
		}
		view.Temporary = temporary
		return read(view, now, rows)
	}
}

// read reads the spool.
func read(view *mailq.View, now time.Time, rows bool) (*reading, error) {
	r := &reading{at: now, Counts: qshape.New(now)}
	if rows {
		r.rows = []row{}
	}
	err := view.Each(everywhere, func(e *mailq.Entry) error {
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
	if aside := view.SetAside(); len(aside) > 0 {
		r.aside = aside[len(aside)-1]
	}
	slices.SortStableFunc(r.rows, func(a, b row) int { return a.since.Compare(b.since) })
	r.reasons, r.domains = groups(r.Reasons(mostShown), -1), groups(r.Domains(mostShown), r.Recipients.Total)
	return r, nil
}

// groups returns the largest groups, escaped, and one group for the others. all is the number of groups; -1: unknown.
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

// others returns the group of the remaining ones.
const others = "others"

func rowOf(e *mailq.Entry) row {
	r := row{
		name: e.Name, from: unique.Make(e.From).Value(), reason: unique.Make(e.Reason).Value(),
		since: e.Since(), next: e.NextAttempt,
		id: spooldir.ID{Size: e.Size}, attempts: int32(e.Attempts), state: e.State, place: e.Place,
	}
	if e.Info != nil {
		r.id = spooldir.IDOf(e.Info)
	}
	var to []string
	in := grouped{}
	in.add("reason", qshape.Kind(e.Reason))
	e.Recipients(func(rcpt *record.Recipient) {
		if rcpt.Accepted() {
			return
		}
		in.add("domain", qshape.Domain(rcpt.Address))
		in.add("relay", rcpt.Relay)
		if rcpt.Error != "" {
			in.add("reason", qshape.Kind(rcpt.Error))
		}
		if r.recipients++; len(to) < mostTo {
			to = append(to, rcpt.Address)
		}
	})
	r.to, r.groups = strings.Join(to, ", "), unique.Make(in.String()).Value()
	return r
}

// grouped are the groups of a message: one each a line, as "domain example.org".
type grouped []string

const mostGroups = 20 // of a message

func (g *grouped) add(kind, name string) {
	if line := kind + " " + console.Escape(name); name != "" && len(*g) < mostGroups && !slices.Contains(*g, line) {
		*g = append(*g, line)
	}
}

// String returns the lines, each with a line end before and behind it.
func (g grouped) String() string { return "\n" + strings.Join(g, "\n") + "\n" }

// filter chooses rows.
type filter struct {
	states []mailq.State
	text   string   // in lower case, in one of the columns; empty: any
	groups []string // lines of grouped
}

// matches reports whether f chooses r.
func (r *row) matches(f *filter) bool {
	if !slices.Contains(f.states, r.state) {
		return false
	}
	for _, line := range f.groups {
		if !strings.Contains(r.groups, "\n"+line+"\n") {
			return false
		}
	}
	text := f.text
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

// versionOf returns a name of a version of a file, so that an action hits no other version.
func versionOf(id spooldir.ID) string {
	return fmt.Sprintf("%x-%x-%x", id.Ino, id.Size, id.ModTime.UnixNano())
}
