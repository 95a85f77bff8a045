package engine

import (
	"io"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/rewrite"
)

// rulesOf returns the rules for senders and recipients of the mail of a route; nil: nothing is rewritten.
func (o *Options) rulesOf(route int) *rewrite.Rules {
	if route < len(o.RouteRewrite) && o.RouteRewrite[route] != nil {
		return o.RouteRewrite[route]
	}
	return o.Rewrite
}

// recipients returns the recipients that are offered to the relay: those of the job, or the one of a redirect.
func (a *attempting) recipients() []string {
	if to := a.rules.Redirect(); to != "" {
		return []string{to}
	}
	return a.job.To
}

// spread returns outcomes for the recipients of the job. With a redirect, the outcome is that of each of them.
func (a *attempting) spread(outcomes []attempt.Outcome) []attempt.Outcome {
	if a.rules.Redirect() == "" || len(outcomes) != 1 {
		return outcomes
	}
	outcomes[0].DSN = false // the relay knows of none of them
	outcomes[0].Redirect = a.rules.Redirect()
	return slices.Repeat(outcomes, len(a.job.To))
}

// transaction prepares the offer of the message.
func (a *attempting) transaction() (*delivery.Transaction, error) {
	f, id := a.file, a.job.MessageID // without the job, which would live as long as the content
	if f.Sent = a.rules.Header(f.Header, a.job.To); f.Sent != nil {
		a.signed = f.Sent.Signed
	}
	t := &delivery.Transaction{
		Name: a.job.Name, From: a.rules.Envelope(a.job.From), To: a.recipients(), UTF8: f.HasUTF8Header(),
		Content:   func() io.Reader { return f.Content(id) },
		MessageID: a.job.MessageID, Enqueued: a.job.Enqueued, Attempt: a.job.Attempt,
		Identity: f.Identity, CutOnly: a.on == nil,
	}
	if env := f.Envelope; env != nil {
		t.ID = env.ID
		t.Ret, t.EnvID, t.NotBefore, t.Expire, t.Priority = env.Ret, env.EnvID, env.NotBefore, env.Expire, env.Priority
		t.Notify, t.ORcpt = env.Wishes(a.job.To)
	}
	t.Notify = a.withoutReports(t.Notify)
	if a.rules.Redirect() != "" {
		t.Notify, t.ORcpt = redirectedWishes(t.Notify), nil
	}
	var err error
	t.Size, t.EightBit, err = f.Measure(id)
	return t, err
}

// withoutReports returns notify, the wishes for the recipients of the job, with NEVER for who gets a copy that the
// operator asked for: the sender is not to hear of it.
func (a *attempting) withoutReports(notify []string) []string {
	if len(a.job.Copies) == 0 {
		return notify
	}
	all := make([]string, len(a.job.To))
	copy(all, notify)
	for _, i := range a.job.Copies {
		all[i] = "NEVER"
	}
	return all
}

// redirectedWishes returns the wishes for the recipient of a redirect: NEVER if that is the wish for every recipient.
// Reports of success are made here, for the recipients of the message.
func redirectedWishes(notify []string) []string {
	if len(notify) == 0 || slices.ContainsFunc(notify, func(n string) bool { return n != "NEVER" }) {
		return nil
	}
	return []string{"NEVER"}
}

// wantsSuccess reports whether the sender wants to know of success for a recipient of the job.
func (a *attempting) wantsSuccess() bool {
	if a.file.Envelope == nil {
		return false
	}
	notify, _ := a.file.Envelope.Wishes(a.job.To)
	return slices.ContainsFunc(notify, func(n string) bool { return strings.Contains(n, "SUCCESS") })
}

// unsent returns the number of recipients for which the relay did not get MAIL.
func unsent(a *attempting) (n int) {
	if a.err != nil {
		return len(a.recipients())
	}
	outcomes := a.result.Outcomes
	for _, o := range outcomes[:min(len(outcomes), len(a.recipients()))] {
		switch {
		case o.Err == nil:
		case o.Fault == attempt.None:
			n++
		case o.Fault == attempt.Relay && slices.Contains(
			[]attempt.Op{attempt.OpDial, attempt.OpGreeting, attempt.OpEHLO, attempt.OpTLS, attempt.OpAuth}, o.Op):
			n++
		}
	}
	return n
}
