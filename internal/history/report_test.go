//go:build unix

package history

import (
	"fmt"
	"slices"
	"strings"
)

// report returns a text for a reader without the context: the broken invariants; for each message concerned the
// operations, the acts of the relay and the log lines in order of time; and the whole history.
func (h *history) report() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "History with seed %d, begun at %s. Times are seconds since then.\n",
		h.seed, h.began.Format("15:04:05.000"))
	var mails []*mail
	for _, f := range h.findings {
		fmt.Fprintf(&b, "BROKEN: %s%s\n", of(f.mail), f.text)
		if f.mail != nil && !slices.Contains(mails, f.mail) {
			mails = append(mails, f.mail)
		}
	}
	for _, m := range mails[:min(len(mails), 3)] {
		h.reportMail(&b, m)
	}
	fmt.Fprintf(&b, "\nAll operations:\n")
	for _, s := range h.steps {
		fmt.Fprintf(&b, "  %-12s %s%s\n", h.clock(s.at), number(s.mail), s.text)
	}
	if n := len(h.daemons); n > 0 {
		d := h.daemons[n-1]
		fmt.Fprintf(&b, "\nThe end of the log of daemon %d:\n", d.n)
		lines := d.log()
		for _, l := range lines[max(0, len(lines)-30):] {
			fmt.Fprintf(&b, "  %s\n", h.logLine(l))
		}
	}
	return b.String()
}

func of(m *mail) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("message m%d: ", m.n)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("m%d: ", n)
}

// A moment is one line of the report about a message.
type moment struct {
	at   int64
	text string
}

// reportMail writes everything about one message.
func (h *history) reportMail(b *strings.Builder, m *mail) {
	fmt.Fprintf(b, "\nMessage m%d from %s. Recipients:", m.n, m.from())
	for _, r := range m.rcpts {
		fmt.Fprintf(b, " %s", r.addr)
		if r.kind == later {
			fmt.Fprintf(b, " (deferred %d times)", r.defers)
		}
		if r.byHand {
			b.WriteString(" (marked as done by hand)")
		}
	}
	fmt.Fprintf(b, ".\nThe relay: %v for the content, %v before the reply; ", m.plan.pause, m.plan.replyPause)
	fmt.Fprintf(b, "closes in place of the reply %d times, in the content %d times; says 451 %d times.\n",
		m.plan.cutEnd, m.plan.cutMiddle, m.plan.deferEnd)
	fmt.Fprintf(b, "Messages: %d, deleted: %d; more copies are right because: %q.\n", m.copies, m.deleted, m.extra)
	var all []moment
	for _, s := range h.steps {
		if s.mail == m.n || s.mail == 0 { // 0: a step of the daemon, the status file or the relay
			all = append(all, moment{s.at.UnixNano(), "did     " + s.text})
		}
	}
	for _, w := range h.relay.ledger() {
		if w.mail == m.n {
			text := fmt.Sprintf("ledger  %s: %s (daemon %d, MAIL at %s)", w.rcpt, w.what, w.daemon, h.clock(w.began))
			if w.what == accepted && w.version >= 0 {
				text += ", version " + m.versions[w.version].id
			}
			all = append(all, moment{w.at.UnixNano(), strings.TrimSpace(text + " " + w.note)})
		}
	}
	for _, d := range h.daemons {
		for _, l := range d.log() {
			if l.concerns(m) {
				all = append(all, moment{l.Time.UnixNano(), fmt.Sprintf("log %d   %s", d.n, h.logLine(l))})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b moment) int { return int(min(max(a.at-b.at, -1), 1)) })
	for _, a := range all {
		fmt.Fprintf(b, "  %+8.3f  %s\n", float64(a.at-h.began.UnixNano())/1e9, a.text)
	}
}

// concerns reports whether a log line is about a message.
func (l line) concerns(m *mail) bool {
	return l.From == m.from() || strings.Contains(l.To, fmt.Sprintf(".m%d.", m.n)) ||
		strings.Contains(l.File, fmt.Sprintf("m%d.eml", m.n))
}

// logLine returns a log line in short.
func (h *history) logLine(l line) string {
	if l.Time.IsZero() {
		return l.text
	}
	text := h.clock(l.Time) + " " + l.Level + " " + l.Msg
	for _, part := range [][2]string{
		{"file", l.File}, {"to", l.To}, {"name", l.Name}, {"action", l.Action},
		{"reply", l.Reply}, {"err", l.Err}, {"path", l.Path},
	} {
		if part[1] != "" {
			text += fmt.Sprintf(" %s=%q", part[0], part[1])
		}
	}
	return text
}
