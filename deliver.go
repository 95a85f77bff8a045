package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/health"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/smarthost"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Transport takes messages on from a spool: it is the seam between the queue and whatever moves mail. The one that
// ships speaks SMTP; an application can bring its own as Options.Transport.
type Transport interface {
	// Deliver offers t once to all of t.To and returns what became of each, in the same order. It returns soon after
	// ctx ends. It is called from several goroutines at a time, up to Options.Concurrency. A result that is missing
	// counts as a temporary failure, and so does an error that is no *DeliveryError.
	Deliver(ctx context.Context, t *Transaction) []Result
}

// Transaction is one message offered to some of its recipients: those in To, with Notify and ORcpt (if not empty) in step.
type Transaction struct {
	Envelope
	Name     string // of the message's file in the spool, for logs
	Size     int64  // octets of the content, exactly
	EightBit bool   // the content has octets above 127
	UTF8     bool   // the header has; addresses that need SMTPUTF8 (RFC 6531) can be told by looking at them

	// Content returns the message as it is to be sent: lines end in CRLF, Bcc is gone, no dot is stuffed. Each call
	// starts afresh; what it returns may be read until Deliver returns. An error of it means that the message must
	// not be completed.
	Content func() io.Reader
}

// Result is what became of one recipient in one transaction.
type Result struct {
	Relay string // who answered, "mail.example.com:25"; empty: the relay's name is filled in
	Reply string // the answer, "250 2.0.0 Ok: queued as 4F1"; empty: none
	Err   error  // nil: accepted, never to be sent again; a *DeliveryError says more
}

// Fault says where the fault lies when a recipient was not served, and so what follows.
type Fault int

// Where a fault lies.
const (
	FaultNone      Fault = iota // nobody's: not offered in this transaction, which took other recipients; offered again at once
	FaultRelay                  // the relay cannot be used: no attempt is counted, and the relay rests for a while
	FaultMessage                // this message was not taken
	FaultRecipient              // this recipient was not taken
)

// String returns "none", "relay", "message" or "recipient".
func (f Fault) String() string {
	if f < FaultNone || f > FaultRecipient {
		return fmt.Sprintf("Fault(%d)", int(f))
	}
	return [...]string{"none", "relay", "message", "recipient"}[f]
}

// DeliveryError says why one recipient was not served.
type DeliveryError struct {
	Fault     Fault
	Op        string // the step: "dial", "greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "content", "end"
	Code      int    // of the relay's reply (RFC 5321, section 4.2); zero: there was none
	Permanent bool   // another try is pointless
	Uncertain bool   // the message was sent whole and no answer was seen: it may have been accepted
	Err       error
}

// Error names the step and the reason.
func (e *DeliveryError) Error() string {
	text := e.Err.Error()
	if e.Op != "" {
		text = e.Op + ": " + text
	}
	if e.Uncertain {
		text += " (uncertain: the relay may have accepted it)"
	}
	return text
}

// Unwrap returns the cause.
func (e *DeliveryError) Unwrap() error { return e.Err }

// faultOf makes sense of any error of a Transport: what is unknown is temporary, and the message's.
func faultOf(err error) *DeliveryError {
	var d *DeliveryError
	if errors.As(err, &d) {
		return d
	}
	return &DeliveryError{Fault: FaultMessage, Err: err}
}

// job is one attempt for a worker to make, and result what came of it: plain values, no pointer into the queue.
type job struct {
	name    string
	id      spooldir.ID
	from    string
	to      []string
	attempt int // counts from 1
	relays  []*relay
}

type result struct {
	job
	recipients []Result  // one for each of to; none if err is set
	err        error     // the message file could not be offered: gone, another one, unreadable
	trouble    []trouble // relays that could not be used
	served     *relay    // the one that could; nil: none
}

// errReplaced says that the file is not the one whose recipients are known.
var errReplaced = errors.New("the file was replaced or changed")

// deliver makes one attempt: it offers the message of j to the first of its relays that can be used.
func deliver(ctx context.Context, dir *spooldir.Dir, host string, j job) result {
	res := result{job: j}
	f, err := msgfile.Open(dir, j.name, spooldir.ID{}, time.Time{}, time.Now())
	if err != nil {
		res.err = err
		return res
	}
	defer f.Close()
	if !f.ID.Equal(j.id) {
		res.err = errReplaced
		return res
	}
	t, err := transaction(f, host, j)
	if err != nil {
		res.err = err
		return res
	}
	for _, relay := range j.relays {
		res.recipients = offer(ctx, relay, t)
		if err := relayTrouble(res.recipients); err != nil {
			res.trouble = append(res.trouble, trouble{relay, err})
			continue
		}
		res.served = relay
		break
	}
	return res
}

// transaction prepares the offer of f to the recipients of j.
func transaction(f *msgfile.File, host string, j job) (*Transaction, error) {
	id := f.MessageID(j.from, host)
	t := &Transaction{Name: j.name, UTF8: f.Header.EightBit(), Content: func() io.Reader { return f.Content(id) }}
	t.From, t.To = j.from, j.to
	if env := f.Envelope; env != nil {
		t.Ret, t.EnvID, t.NotBefore, t.Expire, t.Priority = env.Ret, env.EnvID, env.NotBefore, env.Expire, env.Priority
		t.Notify, t.ORcpt = wishes(env, j.to, env.Notify), wishes(env, j.to, env.ORcpt)
	}
	var err error
	t.Size, t.EightBit, err = message.Measure(t.Content())
	return t, err
}

// wishes picks of list, which is in step with env.To, what belongs to the recipients to.
func wishes(env *message.Envelope, to, list []string) []string {
	if len(list) == 0 {
		return nil
	}
	of := make(map[string]string, len(list))
	for i, wish := range list[:min(len(list), len(env.To))] {
		if _, again := of[env.To[i]]; !again {
			of[env.To[i]] = wish
		}
	}
	picked := make([]string, len(to))
	for i, rcpt := range to {
		picked[i] = of[rcpt]
	}
	return picked
}

// offer has relay deliver t and sees that there is a result for each recipient.
func offer(ctx context.Context, r *relay, t *Transaction) []Result {
	results := r.transport.Deliver(ctx, t)
	for len(results) < len(t.To) {
		results = append(results, Result{Err: errors.New("the transport gave no result")})
	}
	for i := range results {
		if results[i].Relay == "" {
			results[i].Relay = r.name
		}
	}
	return results[:len(t.To)]
}

// relayTrouble returns the error that says why the relay could not be used, nil if it could.
func relayTrouble(results []Result) error {
	for _, r := range results {
		if r.Err == nil || faultOf(r.Err).Fault != FaultRelay {
			return nil
		}
	}
	return results[0].Err
}

// A relay is a Transport and its health. Workers use name and transport; the health belongs to the loop.
type relay struct {
	name      string
	transport Transport
	health    health.Health
}

// trouble is why a relay could not be used.
type trouble struct {
	relay *relay
	err   error
}

// relays are in order of preference.
type relays []*relay

// newRelays makes the relays that opts name.
func newRelays(opts Options) (relays, error) {
	if opts.Transport != nil {
		return relays{{name: "transport", transport: opts.Transport}}, nil
	}
	config := smtpclient.Config{LocalName: opts.LocalName, TLSConfig: opts.TLSConfig, Timeout: opts.SMTPTimeout}
	switch {
	case opts.SMTPUser != "":
		config.Auth = smtpclient.Plain(opts.SMTPUser, opts.SMTPPassword)
	case opts.SMTPMD5User != "":
		config.Auth = smtpclient.CRAMMD5(opts.SMTPMD5User, opts.SMTPMD5Password)
	}
	var rs relays
	for addr := range strings.SplitSeq(opts.SMTPAddr, ",") {
		r, err := smarthost.New(strings.TrimSpace(addr), opts.Dial, config)
		if err != nil {
			return nil, err
		}
		rs = append(rs, &relay{name: r.Addr, transport: smtpTransport{r}})
	}
	return rs, nil
}

// pick returns the relays that a job may use now: those that are well, and those that this one job is to probe.
func (rs relays) pick(now time.Time) (usable []*relay) {
	for _, r := range rs {
		if r.health.Take(now) {
			usable = append(usable, r)
		}
	}
	return usable
}

// settle takes what a job found out about its relays and returns those that went to rest and those that are back.
func (rs relays) settle(res result, now time.Time) (gone []trouble, back []*relay) {
	for _, t := range res.trouble {
		if t.relay.health.Trouble(t.err, now, jitter) {
			gone = append(gone, t)
		}
	}
	if r := res.served; r != nil && r.health.Back() {
		back = append(back, r)
	}
	for _, r := range res.relays {
		r.health.Release()
	}
	return gone, back
}

// wait is how long it is until a relay can be tried; zero: now; negative: when a probe has ended.
func (rs relays) wait(now time.Time) time.Duration {
	wait := time.Duration(-1)
	for _, r := range rs {
		if w := r.health.Wait(now); w >= 0 && (wait < 0 || w < wait) {
			wait = w
		}
	}
	return wait
}

// flush lets every relay be tried now.
func (rs relays) flush(now time.Time) {
	for _, r := range rs {
		r.health.Wake(now)
	}
}

// trouble is why no relay can be used; nil: one can.
func (rs relays) trouble() error {
	var errs []error
	for _, r := range rs {
		if r.health.Well() {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", r.name, r.health.Err()))
	}
	return errors.Join(errs...)
}

// start hands what is ready to workers, as many as there may be.
func (r *runner) start(work context.Context, now time.Time) {
	for r.busy < r.opts.Concurrency && r.q.ready.Len() > 0 {
		usable := r.relays.pick(now)
		if len(usable) == 0 {
			return
		}
		j := r.q.next(now)
		j.relays = usable
		r.busy++
		go func() { r.results <- deliver(work, r.dir, r.host, j) }() // never blocks; the loop takes every result before it ends
	}
}

// settle takes what a worker found out.
func (r *runner) settle(res result) {
	now := time.Now()
	r.busy--
	gone, back := r.relays.settle(res, now)
	for _, t := range gone {
		r.opts.Logger.Warn("relay rests", "relay", t.relay.name, "next", t.relay.health.Until(), "err", t.err)
	}
	for _, relay := range back {
		r.opts.Logger.Info("relay is back", "relay", relay.name)
	}
	r.report(r.q.settle(res, now))
}

// smtpTransport is the Transport that speaks SMTP to one relay.
type smtpTransport struct{ relay *smarthost.Relay }

// Deliver offers t to the relay.
func (s smtpTransport) Deliver(ctx context.Context, t *Transaction) []Result {
	results := make([]Result, len(t.To))
	for i, o := range s.relay.Deliver(ctx, &smtpclient.Transaction{
		From: t.From, To: t.To, Size: t.Size, EightBit: t.EightBit, UTF8: t.UTF8,
		Ret: t.Ret, EnvID: t.EnvID, Notify: t.Notify, ORcpt: t.ORcpt, Content: t.Content(),
	}) {
		results[i] = Result{Relay: s.relay.Addr, Reply: o.Reply.String()}
		if o.Err != nil {
			results[i].Reply, results[i].Err = o.Err.Reply.String(), smtpError(o.Err)
		}
	}
	return results
}

func smtpError(e *smtpclient.Error) *DeliveryError {
	whom, permanent := smarthost.Judge(e)
	d := &DeliveryError{Op: string(e.Op), Code: e.Reply.Code, Permanent: permanent, Uncertain: e.Uncertain, Err: e.Err}
	d.Fault = map[smarthost.Blame]Fault{
		smarthost.Nobody: FaultNone, smarthost.TheRelay: FaultRelay, smarthost.Message: FaultMessage, smarthost.Recipient: FaultRecipient,
	}[whom]
	if d.Err == nil {
		d.Err = errors.New(e.Reply.String())
	}
	return d
}

// Kind says what an Event is about.
type Kind string

// The kinds of events.
const (
	Queued   Kind = "queued"   // a recipient of a message that is new in the spool
	Sent     Kind = "sent"     // accepted by a relay
	Deferred Kind = "deferred" // not accepted now, will be tried again
	Failed   Kind = "failed"   // given up
	Unusable Kind = "unusable" // a file that cannot be read, sent or removed as it is; it stays, and To is empty
)

// Event is what became of one recipient at one moment, or (Unusable) what is wrong with a file.
type Event struct {
	Kind    Kind
	Time    time.Time
	File    string    // name of the message's file in the spool
	From    string    // envelope sender
	To      string    // recipient
	Attempt int       // transaction of this message, counted from 1; zero: there was none
	Relay   string    // who answered
	Reply   string    // what it said
	Fault   Fault     // Deferred and Failed: whose fault it is
	Err     error     // Deferred, Failed and Unusable: why; often a *DeliveryError
	Next    time.Time // Deferred: when it is tried again, at the earliest
}

// report tells of events: in the log, and to the application.
func (r *runner) report(events []Event) {
	for i := range events {
		ev := &events[i]
		r.opts.Logger.LogAttrs(context.Background(), ev.level(), ev.text(), ev.attrs()...)
		r.opts.OnEvent(*ev)
	}
}

// level, text and attrs are the log line of an event: a constant text, and the facts.
func (ev *Event) level() slog.Level {
	switch {
	case ev.Kind == Queued, ev.Kind == Deferred && (ev.Fault == FaultRelay || ev.Fault == FaultNone):
		return slog.LevelDebug // of the relay's trouble the log tells once, not once a message
	case ev.Kind == Sent:
		return slog.LevelInfo
	case ev.Kind == Deferred:
		return slog.LevelWarn
	}
	return slog.LevelError
}

func (ev *Event) text() string {
	return map[Kind]string{Queued: "queued", Sent: "delivered", Deferred: "delivery deferred", Failed: "given up", Unusable: "file cannot be sent"}[ev.Kind]
}

func (ev *Event) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("file", ev.File)}
	if ev.To != "" {
		attrs = append(attrs, slog.String("from", ev.From), slog.String("to", ev.To), slog.Int("attempt", ev.Attempt))
	}
	if ev.Relay != "" {
		attrs = append(attrs, slog.String("relay", ev.Relay))
	}
	if ev.Reply != "" {
		attrs = append(attrs, slog.String("reply", ev.Reply))
	}
	if ev.Fault != FaultNone {
		attrs = append(attrs, slog.String("fault", ev.Fault.String()))
	}
	if ev.Err != nil {
		attrs = append(attrs, slog.String("err", ev.Err.Error()))
	}
	if !ev.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", ev.Next))
	}
	return attrs
}
