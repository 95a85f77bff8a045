package explain

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/diagnose"
)

// A Page writes lines with labels, under headings, for people. Text of any origin stays one line, without control
// characters.
type Page struct {
	W     io.Writer
	Paint console.Painter
}

// longest is how much of a line from a message or a relay is shown, in columns.
const longest = 400

// Head begins a part.
func (p Page) Head(format string, args ...any) {
	text := console.Cut(console.Escape(fmt.Sprintf(format, args...)), longest)
	fmt.Fprintf(p.W, "\n%s\n", p.Paint.Paint(text, console.Bold))
}

// Line writes a line. Without a label it continues the line above.
func (p Page) Line(label, format string, args ...any) {
	text := console.Cut(console.Escape(fmt.Sprintf(format, args...)), longest)
	if s := style(label); s != "" {
		text = p.Paint.Paint(text, s)
	}
	fmt.Fprintf(p.W, "  %-11s %s\n", label, text)
}

// style is how the line with a label stands out.
func style(label string) console.Style {
	switch label {
	case "accepted":
		return console.Green
	case "failed", "refused", "bad":
		return console.Red
	case "deferred", "trouble", "not yet":
		return console.Yellow
	}
	return ""
}

// Advice writes the meaning of a failure, and a remedy.
func (p Page) Advice(a diagnose.Advice) {
	p.Line("it means", "%s", a.Means)
	p.Line("what to do", "%s", a.Do)
}

// stamp is how a time is shown.
func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// folded returns a header field as one line.
func folded(field string) string {
	return strings.ReplaceAll(strings.TrimRight(field, "\r\n"), "\r\n", " ⏎")
}
