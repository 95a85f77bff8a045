package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/progress"
	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const statsHelp = `usage: spoolgore stats [flags] DIR

Counts what is in a spool: messages in each state; who waits, by domain and by age (under 5 minutes, under 15, and
so on); for which reasons. If a daemon runs it tells too how its relays are, how fast it goes, and when all will
be sent.

  -n N               domains and reasons to show, at most; 0: all (10)
  -watch             draw it again every two seconds; on a terminal only
  -json              as one JSON object, see docs/commands.md
  -statusfile PATH   the status file, if the daemon has another one (DIR/.spoolgore.js; $SPOOLGORE_JSON)
  -config FILE       the daemon's configuration: its dir is DIR, which is not named then, and its json the status file
`

// watchPace is the time between two drawings. Where counting takes long it is ten times as long as that.
const watchPace = 2 * time.Second

func runStats(p *Program, args []string) int {
	var watch, asJSON bool
	var n int
	return onSpool(p, "stats", statsHelp, args, func(fs *flag.FlagSet) {
		fs.BoolVar(&watch, "watch", false, "")
		fs.BoolVar(&asJSON, "json", false, "")
		fs.IntVar(&n, "n", 10, "")
	}, func(c *call) error {
		switch err := c.nothingElse(); {
		case err != nil:
			return err
		case n < 0:
			return usageErr("-n has to be 0 or more")
		case watch && asJSON:
			return usageErr("-watch and -json do not go together")
		case watch && !console.IsTerminal(c.stdout):
			return usageErr("-watch needs a terminal")
		case watch:
			return c.watchStats(n)
		}
		s, err := c.stats(n)
		if err != nil {
			return err
		}
		if asJSON {
			err = s.writeJSON(c.out)
		} else {
			s.write(c.out, console.PainterFor(c.stdout), widthOf(c.stdout))
		}
		c.reviewStatus()
		return err
	})
}

// widthOf is how wide tables for w may be: where it is no terminal there is no limit that helps anybody.
func widthOf(w io.Writer) int {
	if console.IsTerminal(w) {
		return console.Width(w)
	}
	return 400
}

// watchStats draws the numbers until it is interrupted.
func (c *call) watchStats(n int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	paint := console.PainterFor(c.stdout)
	io.WriteString(c.stdout, "\x1b[2J")
	for {
		began := time.Now()
		c.now = began
		view, err := mailq.Of(c.dir.Path(), c.view.StatusFile(), began)
		if err != nil {
			return err
		}
		c.view = view
		s, err := c.stats(n)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		s.write(&b, paint, console.Width(c.stdout))
		if _, err := c.stdout.Write(drawing(b.Bytes(), console.Height(c.stdout))); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(watchPace, 10*time.Since(began))):
		}
	}
}

// drawing is text for a terminal of that height, over what was there before, without a flicker.
func drawing(text []byte, height int) []byte {
	out := []byte("\x1b[H")
	n := 0
	for line := range bytes.Lines(text) {
		if n++; n >= height {
			break // it would scroll
		}
		out = append(append(out, bytes.TrimSuffix(line, []byte("\n"))...), "\x1b[K\n"...)
	}
	return append(out, "\x1b[J"...)
}

// numbers are what stats shows. As JSON, names and meanings are fixed.
type numbers struct {
	Dir        string
	Time       time.Time
	States     map[mailq.State]stateNumbers // those that there are
	Waiting    int                          // recipients who wait: not those of held and scheduled messages
	AgeLimits  []float64                    // upper ends of the groups of ByAge, in seconds; one more group has what is older
	Domains    []qshape.Shape
	Reasons    []qshape.Shape
	Daemon     bool               // one runs
	Signs      *daemonstate.Signs `json:",omitempty"` // what it says of itself
	EmptyAfter float64            `json:",omitempty"` // seconds until all is sent, at its pace of now; zero: that cannot be told

	counted *qshape.Tally
	now     time.Time
}

type stateNumbers struct {
	Messages int
	Bytes    int64
	Oldest   time.Time
}

// stats counts.
func (c *call) stats(n int) (*numbers, error) {
	t := qshape.New(c.now)
	bar := progress.New(c.stderr, "counting", 0)
	defer bar.Done()
	err := c.view.Each([]spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}, func(e *mailq.Entry) error {
		bar.Add(1)
		c.view.ReadHeader(e)
		t.Add(e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s := &numbers{
		Dir: c.dir.Path(), Time: c.now, States: map[mailq.State]stateNumbers{}, Waiting: t.Recipients.Total,
		Domains: t.Domains(n), Reasons: t.Reasons(n), counted: t, now: c.now,
	}
	for state, sum := range t.States {
		s.States[state] = stateNumbers(sum)
	}
	for _, limit := range qshape.Ages {
		s.AgeLimits = append(s.AgeLimits, limit.Seconds())
	}
	d := c.daemon()
	s.Daemon = d.runs
	if d.tells {
		s.Signs = &d.signs
		if d.signs.PerMinute > 0 {
			s.EmptyAfter = float64(s.Waiting) / d.signs.PerMinute * 60
		}
	}
	return s, nil
}

func (s *numbers) writeJSON(w io.Writer) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = w.Write(append(console.EscapeJSON(text), '\n'))
	return err
}

// write writes the numbers for people.
func (s *numbers) write(w io.Writer, paint console.Painter, width int) {
	fmt.Fprintf(w, "%s  %s\n%s\n\n", paint.Paint(console.Escape(s.Dir), console.Bold), s.Time.Local().Format(stamp), s.daemonLine())
	fmt.Fprintln(w, paint.Paint("             MESSAGES   SIZE  OLDEST", console.Bold))
	for _, state := range mailq.States {
		if sum, ok := s.States[state]; ok {
			fmt.Fprintf(w, "%s %10d  %5s  %6s\n", paint.Paint(console.Pad(string(state), 10, false), stateStyles[state]),
				sum.Messages, console.Size(sum.Bytes), console.Span(ago(s.now, sum.Oldest)))
		}
	}
	if len(s.States) == 0 {
		fmt.Fprintln(w, "nothing here")
	}
	s.writeShapes(w, paint, width, "WHO WAITS", s.Domains)
	s.writeShapes(w, paint, width, "WHY", s.Reasons)
	s.writeRelays(w, paint, width)
}

// daemonLine says how the daemon is.
func (s *numbers) daemonLine() string {
	switch {
	case !s.Daemon:
		return "no daemon runs"
	case s.Signs == nil:
		return "a daemon runs"
	}
	d := s.Signs
	text := fmt.Sprintf("daemon %d, up %s: %d sent, %d deferred, %d given up; %s a minute",
		d.PID, console.Span(ago(s.now, d.Started)), d.Sent, d.Deferred, d.Failed, strconv.FormatFloat(d.PerMinute, 'f', 1, 64))
	switch {
	case ago(s.now, d.Written) >= hangs:
		text += "; silent for " + console.Span(ago(s.now, d.Written))
	case d.Paused:
		text += "; paused"
	case d.RateWait.After(s.now):
		text += "; held back by the rate limit for " + console.Span(d.RateWait.Sub(s.now))
	}
	if s.Waiting > 0 && s.EmptyAfter > 0 {
		text += "; at this pace all is sent in " + console.Span(time.Duration(s.EmptyAfter*float64(time.Second)))
	}
	return text
}

// writeShapes writes a table of who, or why, by age.
func (s *numbers) writeShapes(w io.Writer, paint console.Painter, width int, title string, shapes []qshape.Shape) {
	if len(shapes) == 0 {
		return
	}
	numbers := fmt.Sprintf(" %6s", "TOTAL")
	for _, limit := range qshape.Ages {
		numbers += fmt.Sprintf(" %5s", "<"+ageLabel(limit))
	}
	numbers += fmt.Sprintf(" %5s", ageLabel(qshape.Ages[len(qshape.Ages)-1])+"+")
	nameWidth := len(title)
	for _, shape := range shapes {
		nameWidth = max(nameWidth, console.Columns(console.Escape(shape.Name)))
	}
	nameWidth = max(10, min(nameWidth, 100, width-len(numbers)))
	line := func(name string, of qshape.Shape) {
		fmt.Fprintf(w, "%s %6d", console.Pad(console.Cut(name, nameWidth), nameWidth, false), of.Total)
		for _, n := range of.ByAge {
			fmt.Fprintf(w, " %5s", cmp.Or(dot(n), strconv.Itoa(n)))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\n%s\n", paint.Paint(console.Pad(title, nameWidth, false)+numbers, console.Bold))
	for _, shape := range shapes {
		line(console.Escape(shape.Name), shape)
	}
	if title == "WHO WAITS" && len(shapes) > 1 {
		line("all", s.counted.Recipients)
	}
}

// ageLabel is a limit of age: 5m, 1h, 12h, 3d.
func ageLabel(d time.Duration) string {
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// dot stands for nothing, so that what there is can be seen.
func dot(n int) string {
	if n == 0 {
		return "."
	}
	return ""
}

// writeRelays writes how the relays are.
func (s *numbers) writeRelays(w io.Writer, paint console.Painter, width int) {
	if s.Signs == nil || len(s.Signs.Relays) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", paint.Paint("RELAYS", console.Bold))
	for _, r := range s.Signs.Relays {
		name := console.Escape(r.Name)
		if r.Senders != "" {
			name += " for " + console.Escape(r.Senders)
		}
		state, style := fmt.Sprintf("well, %d of %s open", r.Connections, console.Count(r.Limit, "connection")), console.Green
		if r.Trouble != "" {
			style = console.Red
			state = "at rest"
			if r.RestsUntil.After(s.now) {
				state += " for " + console.Span(r.RestsUntil.Sub(s.now))
			}
			state += ", in trouble for " + console.Span(ago(s.now, r.Since)) + ": " + console.Escape(r.Trouble)
		}
		fmt.Fprintf(w, "%s  %s\n", name, paint.Paint(console.Cut(state, max(20, width-console.Columns(name)-2)), style))
	}
}
