package record

import (
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/dsn"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/retry"
)

// reportDelay is the time from the first refusal to a report while other recipients wait. Most other recipients are
// accepted or refused within that time, so that one report covers all.
const reportDelay = time.Hour

// Notice is the content of a delivery status notification (RFC 3464) to the sender of a message. The package that
// composes the notification sets the fields Host, Date, Original, EnvID, Full, ORcpt and Others of Report.
type Notice struct {
	dsn.Report
	MessageID string // Message-ID of the message as sent
	Total     int    // number of recipients of the message
}

// NoticeAt returns the time at which the sender is to get a notice although recipients still wait: about a recipient
// that was given up or, warnAfter after the message came (zero: never), about the delay. The zero time means never.
func NoticeAt(m *Message, warnAfter time.Duration) (at time.Time) {
	if m.From == "" {
		return at
	}
	waits, warned := false, warnAfter == 0
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	for _, list := range lists(m) {
		for i := range list {
			r := &list[i]
			if r.Copy {
				continue
			}
			waits, warned = waits || r.Status != Done, warned || r.Warned
			if r.GivenUp && !r.Told {
				sooner(retry.Later(m.Enqueued, r.LastAttempt).Add(reportDelay))
			}
		}
	}
	if !warned {
		sooner(m.Since().Add(warnAfter))
	}
	if !waits {
		return time.Time{} // the message goes to failed/, and the notice is made there
	}
	return at
}

// NoticeOf returns the due notice: about every recipient given up so far and, if due, about the delay of waiting
// recipients. Attempts go on until the time end.
func NoticeOf(m *Message, warnAfter time.Duration, end, now time.Time) Notice {
	n := newNotice(m)
	late := warnAfter > 0 && !m.Since().Add(warnAfter).After(now)
	for _, r := range m.Recipients() {
		late = late && (r.Copy || !r.Warned)
	}
	for _, r := range m.Recipients() {
		switch {
		case r.Copy:
		case r.GivenUp && !r.Told:
			n.Recipients = append(n.Recipients, r.reported(dsn.Failed))
		case r.Status == Waiting && late:
			delayed := r.reported(dsn.Delayed)
			delayed.Until = end
			n.Recipients = append(n.Recipients, delayed)
		}
	}
	return n
}

// Notice returns the notice about a message in failed/.
func (f *Failure) Notice() Notice {
	n := newNotice(&f.Message)
	for _, r := range f.Recipients() {
		if r.GivenUp && !r.Told && !r.Copy {
			n.Recipients = append(n.Recipients, r.reported(dsn.Failed))
		}
	}
	return n
}

// newNotice returns a notice about m without recipients.
func newNotice(m *Message) Notice {
	r := dsn.Report{To: m.From, Arrival: m.Enqueued}
	return Notice{Report: r, MessageID: m.MessageID, Total: m.Len() - copies(m)}
}

// copies returns the number of recipients of m who get a copy that the operator asked for.
func copies(m *Message) (n int) {
	for _, r := range m.Recipients() {
		if r.Copy {
			n++
		}
	}
	return n
}

// reported returns r in the terms of a report.
func (r *Recipient) reported(action dsn.Action) dsn.Recipient {
	f := dsn.Recipient{
		Address: r.Address, Action: action, Relay: r.Relay, Reason: r.Error, Attempts: r.Attempts, Last: r.LastAttempt,
	}
	if r.History != nil {
		f.Reply, f.Status = r.History.Last.Reply, r.History.Last.Status
	} else if message.CheckAddress(r.Address) != nil {
		f.Status = "5.1.3" // bad destination mailbox address syntax
	}
	return f
}

// Noticed records that the sender got a notice about these recipients.
func Noticed(m *Message, about []dsn.Recipient) {
	actions := make(map[string]dsn.Action)
	for _, r := range about {
		actions[r.Address] = r.Action
	}
	for _, r := range m.Recipients() {
		switch actions[r.Address] {
		case dsn.Failed:
			r.Told = r.GivenUp
		case dsn.Delayed:
			r.Warned = true
		}
	}
}

// OwesNotice reports whether a given-up recipient has no report yet. Postmaster is as for ReportTo.
func OwesNotice(m *Message, postmaster string) bool {
	return ReportTo(m, postmaster) != "" && slices.ContainsFunc(m.Recipients(), unreported)
}

// unreported reports whether r is a given-up recipient without a report.
func unreported(r *Recipient) bool { return r.GivenUp && !r.Told && !r.Copy }

// ReportTo returns the address that gets reports on m: the sender, or the postmaster for mail of the null sender. It is
// empty for mail of the null sender to the postmaster alone, so that no report causes another one without end.
func ReportTo(m *Message, postmaster string) string {
	if m.From != "" || postmaster == "" {
		return m.From
	}
	isOther := func(r *Recipient) bool { return unreported(r) && !message.SameAddress(r.Address, postmaster) }
	if !slices.ContainsFunc(m.Recipients(), isOther) {
		return ""
	}
	return postmaster
}
