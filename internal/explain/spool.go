package explain

import (
	"fmt"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// writePlace writes the records of the file in a spool.
func (p *planPage) writePlace() {
	at := p.place
	if at.dir == "" {
		return
	}
	p.Head("In the spool %s", at.dir)
	switch {
	case at.err != nil:
		p.Line("daemon", "unknown: %v", at.err)
	case at.pid == 0:
		p.Line("daemon", "none runs: no mail is sent until one does")
	case at.state.Paused:
		p.Line("daemon", "process %d, paused: no mail is sent until SIGHUP", at.pid)
	case at.state.RateWait.After(p.now):
		p.Line("daemon", "process %d; its rate limit holds all mail back until %s", at.pid, stamp(at.state.RateWait))
	default:
		p.Line("daemon", "process %d", at.pid)
	}
	switch at.sub {
	case spooldir.TmpDir:
		p.Line("state", "in tmp/, being written: the daemon reads it after a move to the spool")
	case holdDir:
		p.Line("state", "held: not sent until it is moved back to the spool")
	case failedDir:
		p.Line("state", "given up: moved back to the spool, it goes to the recipients that had failed")
	}
	if at.failure != nil && at.sub == "" {
		p.Line("state", "came back from failed/, and goes to the recipients that had failed")
	}
	if at.failure != nil {
		p.Line("given up", "%s: %s", stamp(at.failure.Time), at.failure.Reason)
	}
	switch {
	case at.message != nil && p.Unusable == nil && !p.knows(at.message):
		p.Line("state", "the status file has another version of this file")
	case at.message != nil:
		writeStatus(p.Page, at.message)
	case at.failure != nil:
		writeStatus(p.Page, &at.failure.Message)
	case at.sub == "":
		p.Line("state", "not in the status file yet")
	}
}

// writeStatus writes the record of a message.
func writeStatus(page Page, m *record.Message) {
	since := "since " + stamp(m.Enqueued)
	if m.Enqueued.IsZero() {
		since = "since an unknown time"
	}
	page.Line("known", "%s; %s", since, console.Count(m.Attempts, "attempt"))
	if m.Error != "" {
		page.Line("trouble", "%s", m.Error)
	}
	for _, list := range [][]record.Recipient{m.To, m.Cc, m.Bcc} {
		for i := range list {
			label, text := status(&list[i], !m.Held.IsZero())
			page.Line(label, "%s  %s", list[i].Address, text)
		}
	}
}

// status returns the status of a recipient in words.
func status(r *record.Recipient, held bool) (label, text string) {
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
		return "deferred", "no attempt counted, next one at " + stamp(r.NextAttempt) + because
	case held:
		return "waits", "while it is held" + because
	case r.Attempts == 0:
		return "waits", "to be tried at " + stamp(r.NextAttempt)
	}
	return "deferred", fmt.Sprintf("after %s, next one at %s%s", console.Count(r.Attempts, "failed attempt"),
		stamp(r.NextAttempt), because)
}
