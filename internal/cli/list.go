package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/progress"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const listHelp = `usage: spoolgore list [flags] DIR

Lists the messages in the spool and in hold/, newest last: name, age, size, state, failed attempts, next attempt,
sender, recipients who have not got it (+2: and two more), and why not. States are new (not read by the daemon
yet), waiting (for its turn, or a relay that rests), sending, deferred (to be tried again), scheduled (for later,
by its sender), unusable (see the reason), held and failed. It works with the daemon running or not.

On a terminal it is a table. Else it is a line for each message, of fields separated by tabs: name, state, when
enqueued, bytes, failed attempts, next attempt, sender, recipients separated by commas, reason; what is not there
is -. Control characters are escaped.

  -failed            those in failed/ instead: given up
  -state LIST        in these states only, separated by commas
  -older AGE         at least so old, as 15m, 2h or 3d
  -younger AGE       younger than that
  -from PATTERN      from this sender: ann@example.com, @example.com, *@*.example.com, or <> for the null sender
  -to PATTERN        to such a recipient, who has not got it
  -reason TEXT       with this in the reason
  -json              a JSON object a line, see docs/commands.md; unsorted
  -names             names only; those in hold/ and failed/ with that in front
  -statusfile PATH   the status file, if the daemon has another one (DIR/.spoolgore.js; $SPOOLGORE_JSON)
  -config FILE       the daemon's configuration: its dir is DIR, which is not named then, and its json the status file
`

// listOptions are the flags of list.
type listOptions struct {
	chosen
	failed, json, names bool
}

func runList(p *Program, args []string) int {
	var o listOptions
	return onSpool(p, "list", listHelp, args, func(fs *flag.FlagSet) {
		o.bind(fs)
		fs.BoolVar(&o.failed, "failed", false, "")
		fs.BoolVar(&o.json, "json", false, "")
		fs.BoolVar(&o.names, "names", false, "")
	}, func(c *call) error { return c.list(&o) })
}

// places are those to look at.
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
	if err := c.nothingElse(); err != nil {
		return err
	}
	if o.json && o.names {
		return usageErr("-json and -names do not go together")
	}
	if o.json {
		err := c.each(o, func(e *mailq.Entry) error { return writeEntry(c.out, e) })
		c.reviewStatus()
		return err
	}
	t := table{c: c, names: o.names}
	err := c.each(o, func(e *mailq.Entry) error {
		t.add(e)
		return nil
	})
	if err != nil {
		return err
	}
	t.write(console.IsTerminal(c.stdout), console.Width(c.stdout), console.PainterFor(c.stdout))
	c.reviewStatus()
	return nil
}

// each calls fn for the messages that o is about.
func (c *call) each(o *listOptions, fn func(*mailq.Entry) error) error {
	bar := progress.New(c.stderr, "reading", 0)
	defer bar.Done()
	return c.view.Each(o.places(), func(e *mailq.Entry) error {
		bar.Add(1)
		if !o.names || o.filter.Headers() {
			c.view.ReadHeader(e)
		}
		if !o.filter.Match(e, c.now) {
			return nil
		}
		return fn(e)
	})
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

// table is what list shows. There may be a million messages, so of each there is no more than is shown.
type table struct {
	c     *call
	names bool
	rows  []row
	bytes int64
}

type row struct {
	name, to            string
	from, reason        string // shared, as they are the same for many
	place               spooldir.Place
	state               mailq.State
	size                int64
	attempts            int
	enqueued, since, at time.Time
}

func (t *table) add(e *mailq.Entry) {
	t.bytes += e.Size
	r := row{name: placed(e.Place, e.Name), place: e.Place, state: e.State, size: e.Size, enqueued: e.Enqueued, since: e.Since()}
	if !t.names {
		r.from, r.reason = unique.Make(sender(e)).Value(), unique.Make(console.Escape(e.Reason)).Value()
		r.to = cmp.Or(strings.Join(toWhom(e), ","), "-")
		r.attempts = e.Attempts
		if e.Place == spooldir.Spool {
			r.at = e.NextAttempt
		}
	}
	t.rows = append(t.rows, r)
}

// write writes the table: for people on a terminal of that width, for programs anywhere else.
func (t *table) write(terminal bool, width int, paint console.Painter) {
	slices.SortStableFunc(t.rows, func(a, b row) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.name, b.name))
	})
	out := t.c.out
	switch {
	case t.names:
		for i := range t.rows {
			fmt.Fprintln(out, t.rows[i].name)
		}
	case !terminal:
		for i := range t.rows {
			t.rows[i].writeFields(out)
		}
	default:
		t.writeTable(width, paint)
	}
}

// writeFields writes r for programs.
func (r *row) writeFields(out *bufio.Writer) {
	next := "-"
	if !r.at.IsZero() {
		next = r.at.UTC().Format(time.RFC3339)
	}
	fields := []string{
		r.name, string(r.state), r.enqueued.UTC().Format(time.RFC3339), strconv.FormatInt(r.size, 10),
		strconv.Itoa(r.attempts), next, r.from, r.to, cmp.Or(r.reason, "-"),
	}
	out.WriteString(strings.Join(fields, "\t"))
	out.WriteByte('\n')
}

// The columns of the table that have a width of their own, and the names of all.
const (
	listFixed   = "%s  %4s  %5s  %-9s  %5s  %4s"
	fixedWidth  = 2 + 4 + 2 + 5 + 2 + 9 + 2 + 5 + 2 + 4
	wideTable   = 150 // columns, from which on all stands in one line
	nameAtLeast = 20
)

// writeTable writes the table for people. The name is shortened to what room there is, and show and the others take it as
// it is shown.
func (t *table) writeTable(width int, paint console.Painter) {
	if len(t.rows) > 0 {
		room := width - fixedWidth
		if width >= wideTable {
			room = 46 // what the names that we make take
		}
		nameWidth := len("NAME")
		for i := range t.rows {
			nameWidth = max(nameWidth, console.Columns(t.rows[i].name))
		}
		nameWidth = max(min(nameWidth, room), nameAtLeast)
		head := fmt.Sprintf(listFixed, console.Pad("NAME", nameWidth, false), "AGE", "SIZE", "STATE", "TRIES", "NEXT")
		if width >= wideTable {
			head += "  FROM, TO, REASON"
		}
		fmt.Fprintln(t.c.out, paint.Paint(head, console.Bold))
		for i := range t.rows {
			t.rows[i].writeRow(t.c.out, t.c.now, nameWidth, width, paint)
		}
	}
	fmt.Fprintln(t.c.out, t.sum())
}

// stateStyles are how states stand out.
var stateStyles = map[mailq.State]console.Style{
	mailq.Deferred: console.Yellow, mailq.Unusable: console.Red, mailq.Failed: console.Red,
	mailq.Sending: console.Cyan, mailq.Waiting: console.Green, mailq.Held: console.Faint,
}

func (r *row) writeRow(out io.Writer, now time.Time, nameWidth, width int, paint console.Painter) {
	next := "-"
	switch {
	case r.at.After(now):
		next = console.Span(r.at.Sub(now))
	case r.state == mailq.New, r.state == mailq.Waiting:
		next = "now"
	}
	name := console.Pad(console.CutMiddle(r.name, nameWidth), nameWidth, false)
	line := fmt.Sprintf(listFixed, name, console.Span(ago(now, r.since)), console.Size(r.size),
		paint.Paint(console.Pad(string(r.state), 9, false), stateStyles[r.state]), strconv.Itoa(r.attempts), next)
	rest := r.from + " → " + shortList(strings.Split(r.to, ","))
	if r.reason != "" {
		rest += ": " + r.reason
	}
	if width >= wideTable {
		fmt.Fprintf(out, "%s  %s\n", line, console.Cut(rest, width-nameWidth-fixedWidth-2))
		return
	}
	fmt.Fprintf(out, "%s\n    %s\n", line, paint.Paint(console.Cut(rest, width-4), console.Faint))
}

// sum is the last line: how many messages, and what else there is to know.
func (t *table) sum() string {
	var parts []string
	if len(t.rows) == 0 {
		parts = append(parts, "No messages in "+console.Escape(t.c.dir.Path())+".")
	} else {
		oldest := t.rows[0].since
		parts = append(parts, fmt.Sprintf("%s, %s, the oldest %s old.",
			console.Count(len(t.rows), "message"), console.Size(t.bytes), console.Span(ago(t.c.now, oldest))))
	}
	if n := t.c.countFailed(); n > 0 && (len(t.rows) == 0 || t.rows[0].place != spooldir.Failed) {
		parts = append(parts, fmt.Sprintf("%d given up (list -failed).", n))
	}
	if d := t.c.daemon(); !d.runs && d.err == nil {
		parts = append(parts, "No daemon runs.")
	}
	return strings.Join(parts, " ")
}

// countFailed counts the messages in failed/.
func (c *call) countFailed() (n int) {
	names, err := c.dir.Names(spooldir.Failed)
	if err != nil {
		return 0
	}
	for _, name := range names {
		if !spooldir.IsWhyFile(name) {
			n++
		}
	}
	return n
}
