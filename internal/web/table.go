package web

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/spooldir"
	"github.com/unbit/spoolgore/internal/spoolview"
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
	last   *tally
	next   time.Time // it is good until then
	wanted time.Time // when rows were last asked for
}

// tally is one reading. It is never changed.
type tally struct {
	at      time.Time
	counts  map[spoolview.State]int
	bytes   int64     // of the messages that are to be sent
	oldest  time.Time // of the messages that are to be sent: since when it waits; zero: there are none
	reasons []group   // why they wait, most frequent first
	domains []group   // of recipients who wait, likewise
	trouble string    // why the status file tells nothing; empty: it does
	rows    []row     // by age, the oldest first; nil: nobody has asked
	more    int       // messages beyond mostRows
}

// group is a reason or a domain, and how many there are of it.
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

// get returns a reading that is not much older than it took to make. An error says that the spool cannot be read.
func (t *table) get(rows bool) (*tally, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if rows {
		t.wanted = now
	}
	if t.last != nil && now.Before(t.next) && (!rows || t.last.rows != nil) {
		return t.last, nil
	}
	tally, err := read(t.dir, t.status, now, now.Sub(t.wanted) < rowsTime)
	if err != nil {
		return nil, err
	}
	t.last, t.next = tally, now.Add(max(shortest, (share+1)*time.Since(now)))
	return tally, nil
}

// expire has the spool read anew, as it has just been changed.
func (t *table) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = time.Time{}
}

// read reads the spool.
func read(dir, status string, now time.Time, rows bool) (*tally, error) {
	view, err := spoolview.Of(dir, status, now)
	if err != nil {
		return nil, err
	}
	t := &tally{at: now, counts: make(map[spoolview.State]int)}
	reasons, domains := make(counter), make(counter)
	kinds := make(map[string]string) // most messages wait for the same reason, word for word
	if rows {
		t.rows = []row{}
	}
	err = view.Each(everywhere, func(e *spoolview.Entry) error {
		t.counts[e.State]++
		if toSend(e.State) {
			t.bytes += e.Size
			if since := e.Since(); t.oldest.IsZero() || since.Before(t.oldest) {
				t.oldest = since
			}
		}
		if e.State != spoolview.Failed && e.State != spoolview.Held && e.Reason != "" {
			of, known := kinds[e.Reason]
			if !known {
				if of = kind(e.Reason); len(kinds) < mostNames {
					kinds[e.Reason] = of
				}
			}
			reasons.add(of)
		}
		switch {
		case !rows:
		case len(t.rows) < mostRows:
			t.rows = append(t.rows, rowOf(e))
		default:
			t.more++
		}
		if toSend(e.State) {
			e.Recipients(func(r *spoolview.Recipient) {
				if !r.Served() {
					domains.add(console.Escape(strings.ToLower(r.Address[strings.LastIndexByte(r.Address, '@')+1:])))
				}
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if view.Trouble != nil {
		t.trouble = view.Trouble.Error()
	}
	slices.SortStableFunc(t.rows, func(a, b row) int { return a.since.Compare(b.since) })
	t.reasons, t.domains = reasons.top(), domains.top()
	return t, nil
}

// toSend reports whether a message in that state is to be sent as soon as may be.
func toSend(s spoolview.State) bool {
	return s == spoolview.New || s == spoolview.Waiting || s == spoolview.Sending || s == spoolview.Deferred
}

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

// counter counts names.
type counter map[string]int

const mostNames = 10_000 // that are counted: they come from outside

func (c counter) add(name string) {
	if _, known := c[name]; !known && len(c) >= mostNames {
		name = others
	}
	c[name]++
}

const others = "others"

// top returns those that there are most of, and the rest together.
func (c counter) top() []group {
	all := make([]group, 0, len(c))
	for name, n := range c {
		all = append(all, group{name, n})
	}
	slices.SortFunc(all, func(a, b group) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name)) })
	if len(all) <= mostShown {
		return all
	}
	rest := group{Name: others}
	for _, g := range all[mostShown-1:] {
		rest.Count += g.Count
	}
	return append(all[:mostShown-1:mostShown-1], rest)
}

var (
	anAddress = regexp.MustCompile(`<?[^\s<>@]+@[^\s<>@,;:]+>?`)
	aNumber   = regexp.MustCompile(`\b[0-9A-Za-z]*[0-9]{3}[0-9A-Za-z]{3,}\b`)
)

// kind is a reason without what is in it of one message: addresses, and numbers that relays give.
func kind(reason string) string {
	if len(reason) > 300 {
		reason = strings.ToValidUTF8(reason[:300], "")
	}
	return console.Escape(aNumber.ReplaceAllString(anAddress.ReplaceAllString(reason, "…"), "…"))
}
