package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/progress"
	"github.com/unbit/spoolgore/internal/qshape"
)

// redrawInterval is the time between two drawings of stats -watch. If counting takes long, it is ten times as long as
// that.
const redrawInterval = 2 * time.Second

func statsCommand() *command {
	var watch, asJSON bool
	n := 10
	c := &command{
		name:     "stats",
		operands: []string{"[flags] [DIR]"},
		brief:    "count the waiting mail by age, domain and reason; -watch: live",
		about: `Counts the messages of a spool: those in each state; waiting recipients by domain and by age (under 5
minutes, under
15, and so on); reasons. With a running daemon it prints the state of the relays, the pace, and the time until all mail
is sent.`,
		flags: config.NewFlagSet("stats"),
	}
	c.flags.AddInt(&n, "n", "N", "domains and reasons to show, at most; 0: all (10)")
	c.flags.AddSwitch(&watch, "watch", "draw the page every two seconds; on a terminal only")
	c.flags.AddSwitch(&asJSON, "json", "as one JSON object, see docs/commands.md")
	return c.onSpool(func(a *call) error {
		switch err := a.noOperands(); {
		case err != nil:
			return err
		case n < 0:
			return usageErr("-n has to be 0 or more")
		case watch && asJSON:
			return usageErr("-watch and -json do not go together")
		case watch && !console.IsTerminal(a.stdout):
			return usageErr("-watch needs a terminal")
		case watch:
			return a.watchStats(n)
		}
		return a.printStats(n, asJSON)
	})
}

func (c *spool) printStats(n int, asJSON bool) error {
	s, err := c.stats(n)
	if err != nil {
		return err
	}
	if asJSON {
		err = s.writeJSON(c.out)
	} else {
		s.write(c.out, console.PainterFor(c.stdout), tableWidth(c.stdout))
	}
	c.reportStatus()
	return err
}

// tableWidth returns the width of tables for w.
func tableWidth(w io.Writer) int {
	if console.IsTerminal(w) {
		return console.Width(w)
	}
	return 400
}

// watchStats draws the page until it is interrupted.
func (c *spool) watchStats(n int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	paint := console.PainterFor(c.stdout)
	io.WriteString(c.stdout, "\x1b[2J")
	for {
		began := time.Now()
		c.now = began
		if c.queue == nil {
			view, err := mailq.Of(c.dir.Path(), c.view.StatusFile(), began)
			if err != nil {
				return err
			}
			view.Temporary = c.view.Temporary
			c.view, c.source = view, view
		}
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
		case <-time.After(max(redrawInterval, 10*time.Since(began))):
		}
	}
}

// drawing returns text with the control sequences that draw it over the previous text without a flicker. Lines beyond
// the height of the terminal are left out.
func drawing(text []byte, height int) []byte {
	out := []byte("\x1b[H")
	n := 0
	for line := range bytes.Lines(text) {
		if n++; n >= height {
			break
		}
		out = append(append(out, bytes.TrimSuffix(line, []byte("\n"))...), "\x1b[K\n"...)
	}
	return append(out, "\x1b[J"...)
}

// spoolStats are the figures of stats. The names and meanings of their JSON are fixed.
type spoolStats struct {
	Dir        string
	Time       time.Time
	States     map[mailq.State]stateStats // without empty states
	Waiting    int                        // recipients; without those of held and scheduled messages
	AgeLimits  []float64                  // upper ends of the groups of ByAge, in seconds; the last group has no end
	Domains    []qshape.Shape
	Reasons    []qshape.Shape
	Daemon     bool               // a daemon runs
	Signs      *daemonstate.State `json:",omitempty"` // the state file of the daemon
	EmptyAfter float64            `json:",omitempty"` // seconds until all is sent; zero: unknown

	runner     string
	recipients qshape.Shape
	now        time.Time
}

type stateStats struct {
	Messages int
	Bytes    int64
	Oldest   time.Time
}

// stats counts the messages.
func (c *spool) stats(n int) (*spoolStats, error) {
	counts := qshape.New(c.now)
	bar := progress.New(c.stderr, "counting", 0)
	defer bar.Done()
	err := c.source.Each(allPlaces(), func(e *mailq.Entry) error {
		bar.Add(1)
		c.source.ReadHeader(e)
		counts.Add(e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s := &spoolStats{
		Dir: c.path(), Time: c.now, States: map[mailq.State]stateStats{}, Waiting: counts.Recipients.Total,
		Domains: counts.Domains(n), Reasons: counts.Reasons(n), recipients: counts.Recipients, now: c.now,
		runner: c.runner(),
	}
	for state, sum := range counts.States {
		s.States[state] = stateStats(sum)
	}
	for _, limit := range qshape.Ages {
		s.AgeLimits = append(s.AgeLimits, limit.Seconds())
	}
	d := c.daemon()
	s.Daemon = d.runs
	if d.known {
		s.Signs = &d.state
		w := waitingMail{s.Waiting, counts.LastNext, c.quota(&d.state)}
		s.EmptyAfter = w.forecast(&d.state, c.now).Seconds()
	}
	return s, nil
}

func (s *spoolStats) writeJSON(w io.Writer) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = w.Write(append(console.EscapeJSON(text), '\n'))
	return err
}

// write writes the figures for people.
func (s *spoolStats) write(w io.Writer, paint console.Painter, width int) {
	fmt.Fprintf(w, "%s  %s\n%s\n\n",
		paint.Paint(console.Escape(s.Dir), console.Bold), s.Time.Local().Format(stamp), s.daemonLine())
	fmt.Fprintln(w, paint.Paint("             MESSAGES   SIZE  OLDEST", console.Bold))
	for _, state := range mailq.States {
		if sum, ok := s.States[state]; ok {
			fmt.Fprintf(w, "%s %10d  %5s  %6s\n", paint.Paint(console.Pad(string(state), 10, false), stateStyle(state)),
				sum.Messages, console.Size(sum.Bytes), console.Span(ago(s.now, sum.Oldest)))
		}
	}
	if len(s.States) == 0 {
		fmt.Fprintln(w, "no messages")
	}
	domains := s.Domains
	if len(domains) > 1 {
		s.recipients.Name = "all"
		domains = append(slices.Clip(domains), s.recipients)
	}
	writeShapes(w, paint, width, "WHO WAITS", domains)
	writeShapes(w, paint, width, "WHY", s.Reasons)
	s.writeRelays(w, paint, width)
}
