package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/progress"
	"github.com/unbit/spoolgore/internal/routing"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// listOptions are the flags of list.
type listOptions struct {
	selection
	failed, json, names bool
}

func listCommand() *command {
	var o listOptions
	c := &command{
		name:     "list",
		operands: []string{"[flags] [DIR]"},
		brief:    "list the messages: state, age, next attempt, recipients, reason",
		about: `Lists the messages in the spool and in hold/, newest last: name, age, size, state, failed attempts, next
attempt,
sender, recipients that have not got it (+2: and two more), and the reason. States are new (not read by the daemon
yet), waiting (for its turn, or a resting relay), sending, deferred (to be tried again), scheduled (for later, by its
sender), unusable (see the reason), temporary (a name such as m.part; read after an hour without a change), held and
failed.

On a terminal it is a table. Otherwise it is a line for each message with fields separated by tabs: name, state, time
of enqueueing, bytes, failed attempts, next attempt, sender, recipients separated by commas, reason; an empty field
is -. Control characters are escaped. More than 10,000 messages, or more than 1,000 that take half a second to read,
are not sorted, but printed while they are read.`,
		flags: config.NewFlagSet("list"),
	}
	c.flags.AddSwitch(&o.failed, "failed", "messages in failed/ instead: given up")
	o.addFilter(c.flags)
	c.flags.AddSwitch(&o.json, "json", "a JSON object a line, see docs/commands.md; not sorted")
	c.flags.AddSwitch(&o.names, "names", "names only; those in hold/ and failed/ with the directory")
	return c.onSpool(func(a *call) error { return a.list(&o) })
}

// places returns the places to read.
func (o *listOptions) places() []spooldir.Place {
	if o.failed || len(o.filter.States) == 1 && o.filter.States[0] == mailq.Failed {
		return []spooldir.Place{spooldir.Failed}
	}
	places := []spooldir.Place{spooldir.Spool, spooldir.Hold}
	if slices.Contains(o.filter.States, mailq.Failed) {
		places = append(places, spooldir.Failed)
	}
	return places
}

func (c *call) list(o *listOptions) error {
	if err := c.noOperands(); err != nil {
		return err
	}
	if o.json && o.names {
		return usageErr("-json and -names do not go together")
	}
	if o.json {
		err := c.each(o, func(e *mailq.Entry) error { return writeEntry(c.out, e) })
		c.reportStatus()
		return err
	}
	t := &table{
		call: c, names: o.names, terminal: console.IsTerminal(c.stdout), began: time.Now(),
		width: console.Width(c.stdout), paint: console.PainterFor(c.stdout),
	}
	if d := c.daemon(); d.known {
		t.rests = restsOf(&d.state)
		for _, text := range slices.Concat(d.state.Notices(), d.state.Slow()) {
			c.say("%s", console.Escape(text))
		}
	}
	if err := c.each(o, t.add); err != nil {
		return err
	}
	err := t.end()
	c.reportStatus()
	return err
}

// together is the number of files whose headers are read together.
const together = 64

// each calls fn for the messages that o chooses. Headers of files without a record are read by several goroutines.
func (c *call) each(o *listOptions, fn func(*mailq.Entry) error) error {
	bar := progress.New(c.stderr, "reading", 0)
	defer bar.Done()
	some := make([]*mailq.Entry, 0, together)
	flush := func() error {
		if !o.names || o.filter.Headers() {
			readHeaders(c.source, some)
		}
		for _, e := range some {
			if o.filter.Match(e, c.now) {
				if err := fn(e); err != nil {
					return err
				}
			}
		}
		some = some[:0]
		return nil
	}
	err := c.source.Each(o.places(), func(e *mailq.Entry) error {
		bar.Add(1)
		if some = append(some, e); e.Known || len(some) == together { // the record of e is good for this call only
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// readHeaders reads the headers of the files of all entries.
func readHeaders(source mailq.Source, all []*mailq.Entry) {
	if len(all) == 1 {
		source.ReadHeader(all[0])
		return
	}
	var next atomic.Int64
	var readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				source.ReadHeader(all[i])
			}
		})
	}
	readers.Wait()
}

// writeEntry writes e as a line of JSON.
func writeEntry(w io.Writer, e *mailq.Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = w.Write(append(console.EscapeJSON(line), '\n'))
	return err
}

// Limits of the messages that are sorted. A longer list is printed while it is read: the first lines are wanted soon.
const (
	maxSorted  = 10_000
	fewSorted  = 1000 // sorted however long they take
	maxSorting = 500 * time.Millisecond
)

// A table is the output of list. There may be a million messages: of each it keeps only the columns, and of more than
// maxSorted nothing.
type table struct {
	*call
	names    bool // print names only
	terminal bool
	width    int // of the terminal
	paint    console.Painter
	began    time.Time
	rows     []row
	streamed bool // rows were printed, and further ones are printed at once
	named    int  // columns of a name, on a terminal
	count    int
	oldest   time.Time // of all messages; zero: there is none
	failed   bool      // the messages are in failed/
	bytes    int64
	rests    rests
}

// A row is a message in a table. Equal senders and reasons share their memory.
type row struct {
	name, to, host      string
	from, reason        string
	place               spooldir.Place
	state               mailq.State
	size                int64
	attempts            int
	enqueued, since, at time.Time
}

// add adds a message.
func (t *table) add(e *mailq.Entry) error {
	t.bytes += e.Size
	r := row{name: placed(e.Place, e.Name), place: e.Place, state: e.State, size: e.Size, enqueued: e.Enqueued,
		since: e.Since(), host: e.Host}
	if !t.names {
		r.from, r.reason = unique.Make(sender(e)).Value(), unique.Make(console.Escape(e.Reason)).Value()
		r.to = cmp.Or(strings.Join(waitingRecipients(e), ","), "-")
		r.attempts = failedAttempts(e)
		if e.Place == spooldir.Spool {
			r.at = e.NextAttempt
		}
		first := firstRecipient(e)
		if until := t.rests.until(routing.Sender(e.From, first), first); e.State == mailq.Waiting &&
			until.After(t.now) {
			r.at = until
		}
	}
	t.count++
	if t.oldest.IsZero() || r.since.Before(t.oldest) {
		t.oldest, t.failed = r.since, r.place == spooldir.Failed
	}
	if t.streamed {
		return t.write(&r)
	}
	t.rows = append(t.rows, r)
	if n := len(t.rows); n <= fewSorted || n <= maxSorted && time.Since(t.began) < maxSorting {
		return nil
	}
	t.streamed = true
	return t.writeRows()
}

// end writes the rows that were not written yet, sorted, and the summary of a table.
func (t *table) end() error {
	slices.SortStableFunc(t.rows, func(a, b row) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.name, b.name))
	})
	if err := t.writeRows(); err != nil {
		return err
	}
	if t.terminal && !t.names {
		fmt.Fprintln(t.out, t.summary())
	}
	return nil
}

// writeRows writes the rows in memory, and forgets them.
func (t *table) writeRows() error {
	if t.terminal && !t.names && len(t.rows) > 0 {
		t.writeHead()
	}
	for i := range t.rows {
		if err := t.write(&t.rows[i]); err != nil {
			return err
		}
	}
	t.rows = nil
	return nil
}

// write writes r: as a line of the table on a terminal, else for programs.
func (t *table) write(r *row) error {
	if t.terminal && !t.names {
		t.writeRow(r)
		return writeError(t.out)
	}
	return t.writeFields(r)
}

// writeFields writes r for programs.
func (t *table) writeFields(r *row) error {
	if t.names {
		_, err := t.out.WriteString(r.name + "\n")
		return err
	}
	next := "-"
	if !r.at.IsZero() {
		next = r.at.UTC().Format(time.RFC3339)
	}
	fields := [...]string{
		r.name, string(r.state), r.enqueued.UTC().Format(time.RFC3339), strconv.FormatInt(r.size, 10),
		strconv.Itoa(r.attempts), next, r.from, r.to, cmp.Or(r.reason, "-"),
	}
	t.out.WriteString(strings.Join(fields[:], "\t"))
	if t.queue != nil {
		t.out.WriteString("\t" + cmp.Or(console.Escape(r.host), "-"))
	}
	t.out.WriteByte('\n')
	return writeError(t.out)
}

// writeError returns the error of an earlier write to w.
func writeError(w *bufio.Writer) error {
	_, err := w.Write(nil)
	return err
}

// The columns of the table with a width of their own, and the width of all of them.
const (
	listFixed   = "%s  %4s  %5s  %-9s  %5s  %4s"
	fixedWidth  = 2 + 4 + 2 + 5 + 2 + 9 + 2 + 5 + 2 + 4
	wideTable   = 150 // columns from which on a message is one line
	wideName    = 46  // columns of a name there, enough for the names that Put makes
	nameAtLeast = 20
)

// writeHead writes the head of the table for people, and sets the width of names. Names are shortened to fit; all
// commands know a shortened name.
func (t *table) writeHead() {
	room := t.width - fixedWidth
	if t.width >= wideTable {
		room = wideName
	}
	t.named = len("NAME")
	for i := range t.rows {
		t.named = max(t.named, console.Columns(t.rows[i].name))
	}
	t.named = max(min(t.named, room), nameAtLeast)
	head := fmt.Sprintf(listFixed, console.Pad("NAME", t.named, false), "AGE", "SIZE", "STATE", "TRIES", "NEXT")
	if t.width >= wideTable {
		head += "  FROM, TO, REASON"
	}
	fmt.Fprintln(t.out, t.paint.Paint(head, console.Bold))
}

// stateStyle returns the style of a state on a terminal.
func stateStyle(s mailq.State) console.Style {
	switch s {
	case mailq.Deferred:
		return console.Yellow
	case mailq.Unusable, mailq.Failed:
		return console.Red
	case mailq.Sending:
		return console.Cyan
	case mailq.Waiting:
		return console.Green
	case mailq.Held, mailq.Temporary:
		return console.Faint
	}
	return ""
}

func (t *table) writeRow(r *row) {
	next := "-"
	switch {
	case r.at.After(t.now):
		next = console.Span(r.at.Sub(t.now))
	case r.state == mailq.New, r.state == mailq.Waiting:
		next = "now"
	}
	name := console.Pad(console.CutMiddle(r.name, t.named), t.named, false)
	line := fmt.Sprintf(listFixed, name, console.Span(ago(t.now, r.since)), console.Size(r.size),
		t.paint.Paint(console.Pad(string(r.state), 9, false), stateStyle(r.state)), strconv.Itoa(r.attempts), next)
	rest := r.from + " → " + shortList(strings.Split(r.to, ","))
	if r.host != "" {
		rest = console.Escape(r.host) + ": " + rest
	}
	if r.reason != "" {
		rest += ": " + r.reason
	}
	if t.width >= wideTable {
		fmt.Fprintf(t.out, "%s  %s\n", line, console.Cut(rest, t.width-t.named-fixedWidth-2))
		return
	}
	fmt.Fprintf(t.out, "%s\n    %s\n", line, t.paint.Paint(console.Cut(rest, t.width-4), console.Faint))
}

// summary returns the last line of a table.
func (t *table) summary() string {
	var parts []string
	if t.count == 0 {
		parts = append(parts, "No messages in "+console.Escape(t.path())+".")
	} else {
		parts = append(parts, fmt.Sprintf("%s, %s, the oldest %s old.",
			console.Count(t.count, "message"), console.Size(t.bytes), console.Span(ago(t.now, t.oldest))))
	}
	if n := t.countFailed(); n > 0 && !t.failed {
		parts = append(parts, fmt.Sprintf("%d given up (list -failed).", n))
	}
	if d := t.daemon(); !d.runs && d.err == nil {
		parts = append(parts, "No "+t.runner()+" runs.")
	}
	return strings.Join(parts, " ")
}

// countFailed returns the number of messages in failed/.
func (c *spool) countFailed() (n int) {
	if c.queue != nil {
		return c.queue.CountFailed()
	}
	spooldir.EachName(c.dir, spooldir.Failed, func(names []string) error { // after an error: what was counted
		for _, name := range names {
			if !spooldir.IsWhyFile(name) {
				n++
			}
		}
		return nil
	})
	return n
}
