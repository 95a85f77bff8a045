package explain

import (
	"fmt"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// writePlace shows what is known of the file where it lies in a spool.
func (p *Plan) writePlace(page Page) {
	at := p.place
	if at.dir == "" {
		return
	}
	page.Head("In the spool %s", at.dir)
	switch {
	case at.err != nil:
		page.Line("daemon", "cannot be told: %v", at.err)
	case at.pid == 0:
		page.Line("daemon", "none runs: nothing is sent until one does")
	case at.signs.Paused:
		page.Line("daemon", "process %d runs it, and is paused: nothing is sent until it is told to go on (SIGHUP)", at.pid)
	case at.signs.RateWait.After(p.now):
		page.Line("daemon", "process %d runs it; its rate limit holds all mail back until %s", at.pid, stamp(at.signs.RateWait))
	default:
		page.Line("daemon", "process %d runs it", at.pid)
	}
	switch at.sub {
	case spooldir.TmpDir:
		page.Line("state", "being written, as it is in tmp/: it is looked at when it has been moved to the spool")
	case holdDir:
		page.Line("state", "held: it is not sent until it has been moved back to the spool")
	case failedDir:
		page.Line("state", "given up: moved back to the spool, it goes to those who have not got it")
	}
	if at.failure != nil && at.sub == "" {
		page.Line("state", "it came back from failed/, and goes to those who have not got it")
	}
	if at.failure != nil {
		page.Line("given up", "%s: %s", stamp(at.failure.Time), at.failure.Reason)
	}
	switch {
	case at.message != nil && p.Unusable == nil && !p.knows(at.message):
		page.Line("state", "the status file speaks of another version of this file")
	case at.message != nil:
		writeStatus(page, at.message)
	case at.failure != nil:
		writeStatus(page, &at.failure.Message)
	case at.sub == "":
		page.Line("state", "the status file does not know it yet")
	}
}

// writeStatus shows what has become of a message so far.
func writeStatus(page Page, m *record.Message) {
	since := "since " + stamp(m.Enqueued)
	if m.Enqueued.IsZero() {
		since = "since a time that is not known"
	}
	page.Line("known", "%s; %s", since, console.Count(m.Attempts, "attempt"))
	if m.Error != "" {
		page.Line("trouble", "%s", m.Error)
	}
	for _, list := range [][]record.Recipient{m.To, m.Cc, m.Bcc} {
		for i := range list {
			label, text := fate(&list[i], !m.Held.IsZero())
			page.Line(label, "%s  %s", list[i].Address, text)
		}
	}
}

// fate is what has become of a recipient.
func fate(r *record.Recipient, held bool) (label, text string) {
	because := ""
	if r.Error != "" {
		because = ": " + r.Error
	}
	switch {
	case r.Status == record.InProgress:
		return "now", "being sent"
	case r.Status == record.Done && r.GivenUp:
		return "failed", "given up" + because
	case r.Status == record.Done && r.Relay == "":
		return "accepted", "done"
	case r.Status == record.Done:
		return "accepted", fmt.Sprintf("by %s at %s", r.Relay, stamp(r.LastAttempt))
	case r.Attempts == 0 && r.Error != "" && !held:
		return "put off", "no attempt counted, next one at " + stamp(r.NextAttempt) + because
	case held:
		return "waits", "while it is held" + because
	case r.Attempts == 0:
		return "waits", "to be tried at " + stamp(r.NextAttempt)
	}
	return "put off", fmt.Sprintf("after %s, next one at %s%s", console.Count(r.Attempts, "failed attempt"), stamp(r.NextAttempt), because)
}
