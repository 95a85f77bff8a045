package spoolgore

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/crew"
	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/health"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/notify"
	"github.com/unbit/spoolgore/internal/quota"
	"github.com/unbit/spoolgore/internal/report"
	"github.com/unbit/spoolgore/internal/routing"
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
	TLS   string // version of TLS that was used, "TLS 1.3"; empty: none
	DSN   bool   // whoever answered reports of its own what Notify asks for (RFC 3461); else a wish for SUCCESS is seen to here
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

// status is the enhanced status code (RFC 3463) of what is final and was not said by a relay; empty: it is not that.
func (e *DeliveryError) status() string {
	if !e.Permanent || e.Code != 0 {
		return ""
	}
	if code := map[string]string{"size": "5.3.4", "8bitmime": "5.6.3", "smtputf8": "5.6.7", "rcpt": "5.1.3", "mail": "5.1.7"}[e.Op]; code != "" {
		return code
	}
	return "5.0.0"
}

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
	name      string
	id        spooldir.ID
	file      *msgfile.File // open; nil: it is to be opened
	from      string
	to        []string
	messageID string // for a message that has none of its own
	attempt   int    // counts from 1
	began     time.Time
	relays    []*member
	route     *route
	large     bool
	host      string // in whose name senders are told that there will be no other report; empty: they are not
	enqueued  time.Time
	last      bool // when all of to have accepted, the message is done, and the worker removes its file
}

type result struct {
	job
	recipients []Result  // one for each of to; none if err is set
	err        error     // the message file could not be offered: gone, another one, unreadable
	trouble    []trouble // relays that could not be used
	removed    bool      // the message is done and its file gone
	served     *member   // the one that could; nil: none
	report     string    // file of a report in the spool; empty: there is none
	untold     error     // why there is none
}

// A delivery is an attempt under way: the message of a job is offered to the first of its relays that can be used. While
// a relay takes its time no goroutine waits for it: each step is a job of its own.
type delivery struct {
	ctx     context.Context
	dir     *spooldir.Dir
	results chan<- result // takes what came of it
	edits   *atomic.Int32 // of the runner
	as      int32         // what that was when the job was made: since then others may wait
	result
	t    *Transaction
	next int // of the job's relays: to be offered to next
}

// begin opens the message and offers it.
func (d *delivery) begin() {
	if d.file == nil {
		d.file, d.err = msgfile.Reopen(d.dir, d.name, d.id)
	}
	if d.err == nil {
		d.t, d.err = transaction(d.file, d.job)
	}
	if d.err != nil {
		d.end()
		return
	}
	d.offer()
}

// offer offers the message to the next relay.
func (d *delivery) offer() {
	d.relays[d.next].Item.start(d.ctx, d.t, d.offered)
}

// offered takes the answer of a relay.
func (d *delivery) offered(results []Result) {
	m := d.relays[d.next]
	d.recipients = filled(results, len(d.t.To), m.Item.name)
	if err := relayTrouble(d.recipients); err != nil {
		d.trouble = append(d.trouble, trouble{m, err})
		if d.next++; d.next < len(d.relays) {
			d.offer()
			return
		}
	} else {
		d.served = m
	}
	d.report, d.untold = handOn(d.dir, d.file, d.job, d.t, d.recipients)
	d.end()
}

// end closes the message, removes it if all have accepted it, and tells the loop, which takes every result before it ends.
func (d *delivery) end() {
	if d.last && d.edits.Load() == d.as && d.err == nil && accepted(d.recipients) {
		d.removed = d.dir.Remove(d.name, d.id) == nil // otherwise the queue tries again, and says why it cannot
	}
	if d.file != nil {
		d.file.Close()
		d.file = nil
	}
	d.results <- d.result
}

// handOn tells a sender who wants to know of success that his message was accepted by a relay that will not tell (RFC 3461,
// section 5.2.2). It is done while the message is still there.
func handOn(dir *spooldir.Dir, f *msgfile.File, j job, t *Transaction, results []Result) (name string, err error) {
	if j.host == "" || len(t.Notify) == 0 {
		return "", nil
	}
	now := time.Now()
	news := notify.News{Report: report.Report{To: t.From, Arrival: j.enqueued}, MessageID: j.messageID, Total: len(f.Envelope.To)}
	for i, r := range results {
		if r.Err == nil && !r.DSN {
			news.Recipients = append(news.Recipients, report.Recipient{
				Address: t.To[i], Action: report.Relayed, Relay: r.Relay, Reply: r.Reply, Last: now,
			})
		}
	}
	return notify.Put(dir, j.host, f, news, now)
}

func accepted(results []Result) bool {
	return !slices.ContainsFunc(results, func(r Result) bool { return r.Err != nil })
}

// transaction prepares the offer of f to the recipients of j.
func transaction(f *msgfile.File, j job) (*Transaction, error) {
	id := j.messageID // without the rest of j, which would live as long
	t := &Transaction{Name: j.name, UTF8: f.Header.EightBit(), Content: func() io.Reader { return f.Content(id) }}
	t.From, t.To = j.from, j.to
	if env := f.Envelope; env != nil {
		t.Ret, t.EnvID, t.NotBefore, t.Expire, t.Priority = env.Ret, env.EnvID, env.NotBefore, env.Expire, env.Priority
		t.Notify, t.ORcpt = env.Wishes(j.to)
	}
	var err error
	t.Size, t.EightBit, err = f.Measure(j.messageID)
	return t, err
}

// filled sees that there is a result with the name of a relay for each of n recipients.
func filled(results []Result, n int, relay string) []Result {
	for len(results) < n {
		results = append(results, Result{Err: errors.New("the transport gave no result")})
	}
	for i := range results {
		if results[i].Relay == "" {
			results[i].Relay = relay
		}
	}
	return results[:n]
}

// overMessage reports whether the relay's trouble may be over this message, as it came when it had heard of it.
func (r *result) overMessage() bool {
	if len(r.trouble) == 0 {
		return false
	}
	switch faultOf(r.trouble[len(r.trouble)-1].err).Op {
	case "dial", "greeting", "ehlo", "tls", "auth":
		return false
	}
	return true
}

// relayTrouble returns the error that says why the relay could not be used, nil if it could.
func relayTrouble(results []Result) error {
	for _, r := range results {
		if r.Err == nil || faultOf(r.Err).Fault != FaultRelay {
			return nil
		}
	}
	if len(results) == 0 {
		return nil
	}
	return results[0].Err
}

// A relay is what takes messages on, and its name; its health belongs to the loop, and deliveries leave it alone.
type relay struct {
	name     string
	smtp     *smarthost.Relay // nil: a Transport of the application's own
	settings settings
	retired  bool // others have taken its place; the loop's
	// start offers a message, and calls done when the outcome is known, in a goroutine that may wait for the disk.
	start func(ctx context.Context, t *Transaction, done func([]Result))
}

// A member is a relay and its health, in the relays of a route, which are in order of preference.
type (
	member = health.Member[relay]
	relays = health.Group[relay]
)

// trouble is why a relay could not be used.
type trouble struct {
	relay *member
	err   error
}

// settings are all that makes a relay another one. How many connections there may be does not.
type settings struct {
	sender, addr string // of the route, and of the relay
	smtp         SMTP
	timeout      time.Duration
	localName    string
	tls          *tls.Config
	transport    Transport
}

// same reports whether a and b are the same. Functions cannot be compared: what they do has to have a Version.
func (a settings) same(b settings) bool {
	named := a.smtp.Version != ""
	functions := a.smtp.Secret != nil || a.smtp.Auth != nil || b.smtp.Secret != nil || b.smtp.Auth != nil
	switch {
	case functions && !named, !named && a.smtp.TLSConfig != b.smtp.TLSConfig, a.tls != b.tls:
		return false
	case (a.transport == nil) != (b.transport == nil):
		return false
	case a.transport != nil && (!reflect.ValueOf(a.transport).Comparable() || a.transport != b.transport):
		return false
	}
	for _, s := range []*settings{&a, &b} { // what was compared, or cannot be
		s.smtp.Secret, s.smtp.Auth, s.smtp.TLSConfig, s.tls, s.transport = nil, nil, nil, nil, nil
	}
	return reflect.DeepEqual(a, b)
}

// A route is the way that the mail of some senders takes: relays of its own, and its share of the workers.
type route struct {
	sender string // of the mail that takes it, in lower case; empty: all other mail
	relays relays
	busy   int       // jobs in flight
	large  int       // of them with large messages
	served time.Time // when a relay last took part in a transaction to its end
}

// newRoutes makes the routes that opts name; the last one is for the senders whom no other one is for. Of old it takes over,
// and takes out (nil), the relays whose settings are the same. grown is called when a relay can make use of more than it
// could before, by any goroutine.
func newRoutes(opts Options, old []*member, grown func()) (all []*route, err error) {
	seen := make(map[string]bool)
	for _, way := range opts.Routes {
		sender := strings.ToLower(way.Sender)
		if sender == "" || seen[sender] {
			return nil, fmt.Errorf("route for %q: no sender, or one that has a route already", way.Sender)
		}
		seen[sender] = true
	}
	for _, way := range append(slices.Clone(opts.Routes), Route{SMTPAddr: opts.SMTPAddr, SMTP: opts.login()}) {
		rs, err := newRelays(way, opts, old, grown)
		if err != nil {
			return nil, err
		}
		all = append(all, &route{sender: strings.ToLower(way.Sender), relays: rs})
	}
	return all, nil
}

// routeOf returns the function that tells the route of a sender.
func routeOf(opts Options) func(sender string) int {
	if opts.Transport != nil {
		return func(string) int { return len(opts.Routes) }
	}
	senders := make([]string, len(opts.Routes))
	for i, way := range opts.Routes {
		senders[i] = way.Sender
	}
	return routing.By(senders)
}

// newRelays makes the relays of a route, see newRoutes.
func newRelays(way Route, opts Options, old []*member, grown func()) (rs relays, err error) {
	config, err := way.SMTP.config(opts)
	if err != nil {
		return nil, err
	}
	addrs := strings.Split(way.SMTPAddr, ",")
	if opts.Transport != nil {
		addrs = []string{""}
	}
	for _, addr := range addrs {
		item := relay{name: "transport", settings: settings{
			strings.ToLower(way.Sender), strings.TrimSpace(addr), way.SMTP, opts.SMTPTimeout, opts.LocalName, opts.TLSConfig, opts.Transport,
		}}
		if i := slices.IndexFunc(old, func(m *member) bool { return m != nil && m.Item.settings.same(item.settings) }); i >= 0 {
			rs, old[i] = append(rs, old[i]), nil
			continue
		}
		if opts.Transport != nil {
			item.start = calling(opts.Transport)
		} else if item.smtp, err = smarthost.New(smarthost.Options{
			Addr: item.settings.addr, Dial: opts.Dial, Client: config, Concurrency: opts.Concurrency, Grown: grown,
		}); err != nil {
			return nil, err
		} else {
			item.name, item.start = item.smtp.Name(), offeringTo(item.smtp)
		}
		rs = append(rs, &member{Item: item})
	}
	return rs, nil
}

// errRetired is why an offer is withdrawn from a relay that is retired: it is no attempt.
var errRetired = fmt.Errorf("the settings have changed: %w", context.Canceled)

// reconfigure goes on with other options, which are complete. After an error nothing has changed.
func (r *runner) reconfigure(opts Options) error {
	if opts.StatusFile != r.opts.StatusFile {
		return fmt.Errorf("the status file %s cannot become %s while the spool is run", r.opts.StatusFile, opts.StatusFile)
	}
	limits, err := quota.Parse(opts.Rate)
	if err != nil {
		return err
	}
	var old []*member
	for _, rt := range r.routes {
		old = append(old, rt.relays...)
	}
	all := len(old)
	routes, err := newRoutes(opts, old, r.grown)
	if err != nil {
		return err
	}
	now, spent := time.Now(), r.quota
	if opts.Rate != r.opts.Rate {
		state, err := r.quota.State(now)
		if err == nil {
			spent, err = quota.New(limits, state, now)
		}
		if err != nil {
			return err
		}
	}
	// From here on nothing can fail.
	if spent != r.quota {
		r.rateWait = time.Time{} // it is another one now, if there is one
	}
	r.quota, r.opts = spent, opts
	if next := now.Add(opts.Freq); next.Before(r.nextScan) {
		r.nextScan = next
	}
	old = slices.DeleteFunc(old, func(m *member) bool { return m == nil })
	for _, m := range old {
		r.retire(m)
	}
	r.reroute(routes)
	r.q.reconfigure(opts, len(routes), routeOf(opts))
	r.opts.Logger.Info("options taken over", "dir", r.dir.Path(), "relays_kept", all-len(old), "relays_ended", len(old))
	return nil
}

// reroute makes routes those of the runner. One that has all of its relays goes on; another one is not held up by what is
// still with those that were retired.
func (r *runner) reroute(routes []*route) {
	for i, rt := range routes {
		for _, m := range rt.relays {
			if m.Item.smtp != nil {
				m.Item.smtp.Allow(r.opts.Concurrency)
			}
		}
		for _, was := range r.routes {
			if was.sender == rt.sender && !slices.ContainsFunc(was.relays, func(m *member) bool { return m.Item.retired }) {
				was.relays, routes[i] = rt.relays, was
			}
		}
	}
	r.routes = routes
}

// retire lets a relay end what it has begun, and has nothing else offered to it.
func (r *runner) retire(m *member) {
	m.Item.retired = true
	smtp := m.Item.smtp
	if smtp == nil {
		return
	}
	smtp.Retire(errRetired)
	r.retired = slices.DeleteFunc(r.retired, func(x retired) bool {
		select {
		case <-x.ended:
			return true
		default:
			return false
		}
	})
	ended := make(chan struct{})
	r.retired = append(r.retired, retired{smtp, ended})
	go func() {
		defer close(ended)
		smtp.Close()
	}()
}

// retired is a relay that was retired; ended is closed when it has no connection any more.
type retired struct {
	smtp  *smarthost.Relay
	ended chan struct{}
}

// room is how many jobs the route can make use of at the same time, and how many of them may be large ones.
func (rt *route) room(opts Options) (all, large int) {
	all, connections := opts.Concurrency, opts.Concurrency
	if m := rt.relays.Well(); m != nil {
		if smtp := m.Item.smtp; smtp != nil {
			all, connections = smtp.Slots(), smtp.Connections()
		}
	}
	return all, max(1, connections-1-connections/4)
}

// vacancy is how much more can be sent now.
func (r *runner) vacancy() (m room) {
	for _, rt := range r.routes {
		all, _ := rt.room(r.opts)
		m.free += max(0, all-rt.busy)
	}
	m.busy = r.busy > 0
	return m
}

// cut ends what is in flight.
func (r *runner) cut(cause error) {
	for _, rt := range r.routes {
		for _, m := range rt.relays {
			if m.Item.smtp != nil {
				m.Item.smtp.Cut(cause)
			}
		}
	}
	for _, x := range r.retired {
		x.smtp.Cut(cause)
	}
}

// close ends the connections of the route.
func (rt *route) close() {
	for _, r := range rt.relays {
		if r.Item.smtp != nil {
			r.Item.smtp.Close()
		}
	}
}

// settle takes what a job found out about its relays and returns those that went to rest and those that are back.
func (rt *route) settle(res result, now time.Time) (gone []trouble, back []*member) {
	for _, t := range res.trouble {
		if !t.relay.Item.retired && t.relay.Trouble(t.err, res.began, now, jitter) {
			gone = append(gone, t)
		}
	}
	if m := res.served; m != nil && !m.Item.retired && m.Back() {
		back = append(back, m)
	}
	for _, m := range res.relays {
		m.Release()
	}
	return gone, back
}

// trouble is why none of the relays can be used; nil: one can.
func (rt *route) trouble() error {
	if rt.relays.Well() != nil {
		return nil
	}
	var errs []error
	for _, m := range rt.relays {
		errs = append(errs, fmt.Errorf("%s: %w", m.Item.name, m.Err()))
	}
	return errors.Join(errs...)
}

// trouble is why nothing that is ready can be sent; nil: something can, or nothing is ready.
func (r *runner) trouble() error {
	var errs []error
	for i, rt := range r.routes {
		if r.q.ready[i].len() > 0 {
			err := rt.trouble()
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// stuck reports whether nothing that is ready can be sent, and a second try has shown so.
func (r *runner) stuck() bool {
	stuck := false
	for i, rt := range r.routes {
		if r.q.ready[i].len() == 0 {
			continue
		}
		for _, m := range rt.relays {
			if !m.Probed() {
				return false
			}
		}
		stuck = true
	}
	return stuck
}

// cause returns what says why mail of a sender cannot be sent now; empty: it can.
func (r *runner) cause() func(sender string) string {
	causes := make([]string, len(r.routes))
	for i, rt := range r.routes {
		if err := rt.trouble(); err != nil {
			causes[i] = err.Error()
		}
	}
	routeOf := r.q.routeOf // as it is now: the answers may be wanted elsewhere, while the loop goes on with other routes
	return func(sender string) string { return causes[routeOf(sender)] }
}

// start hands what is ready to workers, as many as there may be, and returns how long to wait for more to be allowed;
// negative: until a job has ended.
func (r *runner) start(work context.Context, now time.Time) (wait time.Duration) {
	wait = -1
	for i, rt := range r.routes {
		if w := r.startRoute(work, rt, r.q.ready[i], now); w >= 0 && (wait < 0 || w < wait) {
			wait = w
		}
	}
	return wait
}

func (r *runner) startRoute(work context.Context, rt *route, ready lanes, now time.Time) (wait time.Duration) {
	for ready.len() > 0 {
		if wait := r.quota.Wait(1, now); wait > 0 {
			r.holdBack(wait, now)
			return wait
		}
		all, large := rt.room(r.opts)
		lane := ready.small
		if lane.Len() == 0 || ready.large.Len() > 0 && rt.large == 0 {
			lane = ready.large // one at a time while there are small ones
		}
		if rt.busy >= all || lane == ready.large && rt.large >= large {
			return -1
		}
		usable := rt.relays.Take(now)
		if len(usable) == 0 {
			return rt.relays.Wait(now)
		}
		j, ok := r.q.next(lane, now)
		if !ok {
			for _, m := range usable {
				m.Release()
			}
			continue
		}
		j.route, j.relays = rt, usable
		if r.opts.Rate != "" {
			r.quota.Spend(len(j.to), now)
			r.spent.Touch(now)
		}
		r.busy++
		rt.count(j, 1)
		d := &delivery{ctx: work, dir: r.dir, results: r.results, edits: &r.edits, as: r.edits.Load(), result: result{job: j}}
		if j.large {
			go d.begin() // it takes as long as to read it does, and others shall not wait for that
		} else {
			r.begins.Do(d.begin)
		}
	}
	return -1
}

// holdBack notes that the rate makes mail wait that could be sent.
func (r *runner) holdBack(wait time.Duration, now time.Time) {
	if !now.Before(r.rateWait) {
		r.rateWaits++ // not the same wait, looked at again
	}
	r.rateWait = now.Add(wait)
}

func (rt *route) count(j job, n int) {
	rt.busy += n
	if j.large {
		rt.large += n
	}
}

// settle takes what a worker found out.
func (r *runner) settle(res result) {
	now := time.Now()
	r.settled = now
	r.busy--
	res.route.count(res.job, -1)
	if suspect := r.q.entries[res.name].suspect; suspect != nil && res.route.served.After(*suspect) && res.overMessage() {
		// Others got through since the relay last stumbled over this message: it is the message.
		for i := range res.recipients {
			fault := *faultOf(res.recipients[i].Err)
			fault.Fault = FaultMessage
			res.recipients[i].Err = &fault
		}
		res.trouble = nil
	}
	if res.served != nil && !res.served.Item.retired {
		res.route.served = now
	}
	gone, back := res.route.settle(res, now)
	for _, t := range gone {
		r.opts.Logger.Warn("relay rests", "relay", t.relay.Item.name, "next", t.relay.Until(), "err", t.err)
	}
	for _, relay := range back {
		r.opts.Logger.Info("relay is back", "relay", relay.Item.name)
	}
	if res.report != "" {
		r.session.arrive(res.report)
	}
	if res.untold != nil {
		r.opts.Logger.Error("sender cannot be told that the message was handed on", "file", res.name, "err", res.untold)
	}
	r.report(r.q.settle(res, now))
}

// calling returns what starts a call of a Transport. One that ends its goroutine has failed.
func calling(t Transport) func(context.Context, *Transaction, func([]Result)) {
	return func(ctx context.Context, tx *Transaction, done func([]Result)) {
		go func() {
			var results []Result
			defer func() { done(results) }()
			results = t.Deliver(ctx, tx)
		}()
	}
}

// offeringTo returns what starts an offer to a relay that speaks SMTP; route.cut ends it.
func offeringTo(r *smarthost.Relay) func(context.Context, *Transaction, func([]Result)) {
	var ends crew.Crew
	return func(_ context.Context, t *Transaction, done func([]Result)) {
		r.Offer(&smtpclient.Transaction{
			From: t.From, To: t.To, Size: t.Size, EightBit: t.EightBit, UTF8: t.UTF8,
			Ret: t.Ret, EnvID: t.EnvID, Notify: t.Notify, ORcpt: t.ORcpt, Content: smarthost.Content(t.Content),
			SevenBit: smarthost.SevenBit(t.Content),
		}, func(outcomes []attempt.Outcome) {
			ends.Do(func() { done(smtpResults(outcomes)) })
		})
	}
}

// smtpResults converts outcomes to the results of a Transport.
func smtpResults(outcomes []attempt.Outcome) []Result {
	results := make([]Result, len(outcomes))
	for i := range outcomes {
		o := &outcomes[i]
		results[i] = Result{Relay: o.Relay, Reply: o.Reply.String(), TLS: o.TLS, DSN: o.DSN}
		if o.Err != nil {
			results[i].Err = smtpError(o)
		}
	}
	return results
}

func smtpError(o *attempt.Outcome) *DeliveryError {
	return &DeliveryError{
		Fault: Fault(o.Fault), Op: string(o.Op), Code: o.Reply.Code,
		Permanent: o.Permanent, Uncertain: o.Uncertain, Err: o.Err,
	}
}

// Kind says what an Event is about.
type Kind string

// The kinds of events.
const (
	Queued   Kind = "queued"   // a recipient of a message that is new in the spool
	Sent     Kind = "sent"     // accepted by a relay
	Deferred Kind = "deferred" // not accepted now, will be tried again
	Failed   Kind = "failed"   // given up
	Kept     Kind = "kept"     // a message was moved to failed/, as somebody in it was given up; To is empty
	Unusable Kind = "unusable" // a file that cannot be read, sent or removed as it is; it stays, and To is empty
)

// Event is what became of one recipient at one moment, or (Unusable) what is wrong with a file.
type Event struct {
	Kind    Kind
	Time    time.Time
	File    string    // name of the message's file in the spool
	From    string    // envelope sender
	To      string    // recipient
	Since   time.Time // Sent, Deferred and Failed: when the message was first seen or, if that is later, might first be sent
	Attempt int       // transaction of this message, counted from 1; zero: there was none
	Relay   string    // who answered
	Reply   string    // what it said
	TLS     string    // version of TLS it was spoken to with, "TLS 1.3"; empty: none
	Fault   Fault     // Deferred and Failed: whose fault it is
	Err     error     // Deferred, Failed, Kept and Unusable: why; often a *DeliveryError
	Next    time.Time // Deferred: when it is tried again, at the earliest
	Path    string    // Kept: the message's file now; beside it, with .json behind its name, is what became of everybody (a Failure)
}

// report tells of events: in the log, and to the application. It adds what the queue has moved to failed/.
func (r *runner) report(events []Event) {
	for _, k := range r.q.kept {
		events = append(events, k.Event)
		if k.untold {
			r.desk.Owe(filepath.Base(k.Path), k.Time)
		}
	}
	r.q.kept = nil
	for i := range events {
		ev := &events[i]
		if level := ev.level(); r.opts.Logger.Enabled(context.Background(), level) {
			r.opts.Logger.LogAttrs(context.Background(), level, ev.text(), ev.attrs()...)
		}
		r.opts.OnEvent(*ev)
	}
}

// newDesk makes the desk that tells senders.
func newDesk(dir *spooldir.Dir, host string) *notify.Desk {
	return notify.New(dir, host, func(text []byte) (notify.News, error) {
		var why Failure
		err := json.Unmarshal(text, &why)
		return why.failed(), err
	})
}

// owe has the desk begin with those who were not told before the last run on the directory ended.
func (r *runner) owe() {
	if r.opts.NoReports {
		return
	}
	names, err := r.dir.Untold()
	for _, name := range names {
		r.desk.Owe(name, time.Now())
	}
	if err != nil {
		r.opts.Logger.Error("not all who are to be told can be found, the next start tries again", "dir", r.dir.Path(), "err", err)
	}
}

// tell hands the desk what there is to tell, and has it make the next report.
func (r *runner) tell(now time.Time) {
	for _, n := range r.q.news {
		r.desk.Tell(n.name, n.id, n.News, now)
	}
	r.q.news = nil
	if r.desk.Wait(now) == 0 {
		r.desk.Start(now)
	}
}

// telling reports whether a report is being made, or is to be made now.
func (r *runner) telling(now time.Time) bool { return r.desk.Busy() || r.desk.Wait(now) == 0 }

// told takes what came of a report.
func (r *runner) told(o notify.Outcome) {
	first, recovered := r.desk.Finish(o, time.Now())
	switch {
	case first && o.Again:
		r.opts.Logger.Error("sender cannot be told, will be tried again", "file", o.Name, "err", o.Err)
	case first:
		r.opts.Logger.Error("sender cannot be told", "file", o.Name, "err", o.Err)
	case recovered:
		r.opts.Logger.Info("senders can be told again")
	}
	if o.Report != "" {
		r.opts.Logger.Info("sender is told", "file", o.Name, "to", o.News.To, "report", o.Report)
		r.session.arrive(o.Report)
	}
	if !o.Failed && o.News != nil {
		r.q.told(o.Name, o.ID, o.News)
	}
}

// level, text and attrs are the log line of an event: a constant text, and the facts.
func (ev *Event) level() slog.Level {
	switch {
	case ev.Kind == Queued, ev.Kind == Deferred && (ev.Fault == FaultRelay || ev.Fault == FaultNone):
		return slog.LevelDebug // of the relay's trouble the log tells once, not once a message
	case ev.Kind == Sent, ev.Kind == Kept:
		return slog.LevelInfo
	case ev.Kind == Deferred:
		return slog.LevelWarn
	}
	return slog.LevelError
}

func (ev *Event) text() string {
	switch ev.Kind {
	case Queued:
		return "queued"
	case Sent:
		return "delivered"
	case Deferred:
		return "delivery deferred"
	case Failed:
		return "given up"
	case Kept:
		return "kept in failed"
	}
	return "file cannot be sent"
}

func (ev *Event) attrs() []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 9), slog.String("file", ev.File))
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
	if ev.Path != "" {
		attrs = append(attrs, slog.String("path", ev.Path))
	}
	if !ev.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", ev.Next))
	}
	return attrs
}

// Route sends the mail of some senders through relays of their own.
type Route struct {
	Sender   string // envelope sender: "ann@example.com", else "@example.com" for a domain, else "*"; the most exact one counts
	SMTPAddr string // as Options.SMTPAddr
	SMTP     SMTP
}

// SMTP says how relays are spoken to. The zero value is a good default.
type SMTP struct {
	// User logs in, with the strongest mechanism that the relay offers and the settings allow; empty: no AUTH.
	User string

	// Secret gives the password, or with Token an OAuth 2.0 access token; it is called for each login, from any
	// goroutine. again says that the relay has refused the last one. Nil: Password.
	Secret    func(ctx context.Context, again bool) (string, error)
	Password  string
	Token     bool                               // XOAUTH2 or OAUTHBEARER (RFC 7628)
	Mechanism string                             // the only one to use: "SCRAM-SHA-256", "PLAIN", "EXTERNAL", ...; empty: any
	Auth      func(mechanism string) sasl.Client // a client of your own for a mechanism; nil, or a nil client: ours

	// TLS is "starttls" for STARTTLS, and an error where it is not offered (RFC 3207), "tls" for TLS from the first
	// byte (RFC 8314), "none" for no TLS; empty, or "auto": from the first byte on port 465, else STARTTLS where it is
	// offered. A handshake that fails is never followed by an attempt in the clear.
	TLS       string
	TLSConfig *tls.Config // nil: Options.TLSConfig
	Pins      []string    // "sha256//BASE64" of the public keys (RFC 7469, section 2.4) of which the relay must have one; the certificate is not verified further

	NoPipelining, NoChunking bool // do without an extension although it is offered (RFC 2920, RFC 3030)
	Window                   int  // small messages that may share a flight where CHUNKING is offered: as many a crash can send twice; zero: 4

	// Version names what Secret, Auth and TLSConfig do, for Reconfigure, which cannot compare them: two with the same Version
	// are taken for the same. Empty: those with a Secret or an Auth are taken for others each time.
	Version string
}

// login is what the options of the 2014 tool say, unless SMTP says more.
func (o Options) login() SMTP {
	s := o.SMTP
	switch {
	case s.User != "":
	case o.SMTPUser != "":
		s.User, s.Password = o.SMTPUser, o.SMTPPassword
	case o.SMTPMD5User != "":
		s.User, s.Password, s.Mechanism = o.SMTPMD5User, o.SMTPMD5Password, "CRAM-MD5"
	}
	return s
}

// config is s in the words of the SMTP client.
func (s SMTP) config(opts Options) (smtpclient.Config, error) {
	return smarthost.Settings(s).Config(opts.LocalName, opts.SMTPTimeout, opts.TLSConfig)
}

// loadQuota makes the quota of opts, which goes on where the last one stopped.
func loadQuota(dir *spooldir.Dir, limits []quota.Limit) (*quota.Quota, error) {
	text, err := fsys.ReadFile(dir.FS(), dir.File(".spoolgore.rate"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return quota.New(limits, text, time.Now())
}
