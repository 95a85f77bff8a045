package cli

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/qshape"
)

// daemonLine returns the line about the daemon.
func (s *spoolStats) daemonLine() string {
	switch {
	case !s.Daemon:
		return "no " + s.runner + " runs"
	case s.Signs == nil:
		return "a daemon runs"
	}
	d := s.Signs
	who := fmt.Sprintf("daemon %d", d.PID)
	if d.Workers > 0 {
		who = console.Count(d.Workers, "worker")
	}
	text := fmt.Sprintf("%s, up %s: %d sent, %d deferred, %d given up; %s a minute",
		who, console.Span(ago(s.now, d.Started)), d.Sent, d.Deferred, d.Failed, strconv.FormatFloat(d.PerMinute,
			'f', 1, 64))
	switch {
	case d.Silent(s.now):
		text += "; silent for " + console.Span(ago(s.now, d.Written))
	case d.Paused:
		text += "; paused"
	case d.RateWait.After(s.now):
		text += "; waiting for the rate limit for " + console.Span(d.RateWait.Sub(s.now))
	}
	if s.Waiting > 0 && s.EmptyAfter > 0 {
		text += "; at this pace all is sent in " + console.Span(time.Duration(s.EmptyAfter*float64(time.Second)))
	}
	return text
}

// writeShapes writes a table of recipients by age.
func writeShapes(w io.Writer, paint console.Painter, width int, title string, shapes []qshape.Shape) {
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
	fmt.Fprintf(w, "\n%s\n", paint.Paint(console.Pad(title, nameWidth, false)+numbers, console.Bold))
	for _, shape := range shapes {
		name := console.Cut(console.Escape(shape.Name), nameWidth)
		fmt.Fprintf(w, "%s %6d", console.Pad(name, nameWidth, false), shape.Total)
		for _, n := range shape.ByAge {
			number := "."
			if n > 0 {
				number = strconv.Itoa(n)
			}
			fmt.Fprintf(w, " %5s", number)
		}
		fmt.Fprintln(w)
	}
}

// ageLabel returns a limit of age as 5m, 1h, 12h or 3d.
func ageLabel(d time.Duration) string {
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// writeRelays writes a line for each relay.
func (s *spoolStats) writeRelays(w io.Writer, paint console.Painter, width int) {
	if s.Signs == nil || len(s.Signs.Relays) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", paint.Paint("RELAYS", console.Bold))
	for _, r := range s.Signs.Relays {
		name := console.Escape(r.Name)
		if r.Senders != "" {
			name += " for " + console.Escape(r.Senders)
		}
		state, style := fmt.Sprintf("well, %d of %s open", r.Connections,
			console.Count(r.Limit, "connection")), console.Green
		if slow := r.Slow(); slow != "" {
			state, style = state+"; slower: "+console.Escape(slow), console.Yellow
		}
		if r.Trouble != "" {
			style = console.Red
			state = "at rest"
			if r.RestsUntil.After(s.now) {
				state += ", retrying in " + console.Span(r.RestsUntil.Sub(s.now))
			}
			state += "; failing for " + console.Span(ago(s.now, r.Since)) + ": " + console.Escape(r.Trouble)
		}
		fmt.Fprintf(w, "%s  %s\n", name, paint.Paint(console.Cut(state, max(20, width-console.Columns(name)-2)), style))
	}
}
