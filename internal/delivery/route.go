package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/breaker"
	"github.com/unbit/spoolgore/internal/execrelay"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtppool"
)

// route is the way of the mail of some senders: relays in order of preference.
type route struct {
	sender   string // in lower case; empty: all other mail
	relays   breaker.Group[relay]
	busy     int       // messages being sent
	large    int       // large messages among them
	accepted time.Time // time of the last acceptance
}

// member is a relay and its health.
type member = breaker.Member[relay]

// relay is one relay, or the Transport. Its health belongs to the owner of the Delivery.
type relay struct {
	name     string
	smtp     *smtppool.Relay // nil: a Transport
	settings settings
	retired  bool     // replaced by another one
	slow     bool     // used more slowly than possible, as of the last Settle
	learnt   []string // smtppool.Relay.Learnt, as of the last Settle
	changes  uint64   // smtppool.Relay.Changes, as of the last Settle
	// start offers a message. It does not block. done is called once, from any goroutine, and must not block.
	start func(ctx context.Context, t *Transaction, done func([]attempt.Outcome))
}

// settings are what tells one relay from another one. The number of connections does not.
type settings struct {
	sender, addr string // of the route and of the relay
	smtp         smtppool.Settings
	timeout      time.Duration
	localName    string
	tls          *tls.Config
	transport    Transport
}

// same reports whether a and b are equal. Functions cannot be compared: they count as equal if Version is set and
// equal.
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
	for _, s := range []*settings{&a, &b} { // compared above, or not comparable
		s.smtp.Secret, s.smtp.Auth, s.smtp.TLSConfig, s.tls, s.transport = nil, nil, nil, nil, nil
	}
	return reflect.DeepEqual(a, b)
}

// newRoutes makes the routes of c. A relay of old whose settings are the same is taken over, and set to nil in old.
func newRoutes(c Config, old []*member) (all []*route, err error) {
	seen := make(map[string]bool)
	for i, r := range c.Routes {
		sender := lower(rewrite.ASCIIDomain(r.Sender))
		if i < len(c.Routes)-1 {
			if sender == "" || seen[sender] {
				return nil, fmt.Errorf("route for %q: no sender, or one that has a route already", r.Sender)
			}
			seen[sender] = true
		}
		relays, err := newRelays(r, c, old)
		if err != nil {
			return nil, err
		}
		all = append(all, &route{sender: sender, relays: relays})
	}
	return all, nil
}

func newRelays(r Route, c Config, old []*member) (relays breaker.Group[relay], err error) {
	client, err := r.SMTP.Config(c.LocalName, c.Timeout, c.TLSConfig)
	if err != nil {
		return nil, err
	}
	addrs := strings.Split(r.Addr, ",")
	if c.Transport != nil {
		addrs = []string{""}
	}
	for _, addr := range addrs {
		item := relay{name: "transport", settings: settings{
			lower(r.Sender), strings.TrimSpace(addr), r.SMTP, c.Timeout, c.LocalName, c.TLSConfig, c.Transport,
		}}
		isSame := func(m *member) bool { return m != nil && m.Item.settings.same(item.settings) }
		if i := slices.IndexFunc(old, isSame); i >= 0 {
			relays, old[i] = append(relays, old[i]), nil
			continue
		}
		if c.Transport != nil {
			item.start = calling(c.Transport)
		} else if execrelay.Is(item.settings.addr) {
			if item.name, item.start, err = running(item.settings.addr, c, r.SMTP); err != nil {
				return nil, err
			}
		} else if item.smtp, err = smtppool.New(smtppool.Options{
			Addr: item.settings.addr, Dial: c.Dial, Client: client, Concurrency: c.Concurrency, Auto: c.Auto,
			Grown: c.Grown, Family: r.SMTP.Family, Idle: r.SMTP.Idle,
		}); err != nil {
			return nil, err
		} else {
			item.name, item.start = item.smtp.Name(), offeringTo(item.smtp, c.AsError)
		}
		relays = append(relays, &member{Item: item})
	}
	return relays, nil
}

// running returns the name and the start function of a program as a relay.
func running(
	addr string, c Config, s smtppool.Settings,
) (string, func(context.Context, *Transaction, func([]attempt.Outcome)), error) {
	r, err := execrelay.New(addr, c.Timeout, c.Log)
	if err != nil {
		return "", nil, err
	}
	r.NoQuotas = s.NoQuotas
	return r.Name(), calling(program{r, c.AsError, s.Recipients}), nil
}

// program is a program as a Transport.
type program struct {
	relay   *execrelay.Relay
	asError func(attempt.Outcome) error
	limit   int // for the recipients of a run; zero: none
}

// errRecipientLimit is the cause for a recipient that is left for the next run of a program.
var errRecipientLimit = errors.New("the run has as many recipients as the settings allow")

// Deliver runs the program. Recipients beyond the limit are left for the next transaction.
func (p program) Deliver(ctx context.Context, t *Transaction) []attempt.Outcome {
	n := len(t.To)
	if p.limit > 0 {
		n = min(n, p.limit)
	}
	outcomes := p.relay.Deliver(ctx, execrelay.Envelope{
		Name: t.Name, From: t.From, To: t.To[:n], Size: t.Size, Ret: t.Ret, EnvID: t.EnvID,
		Notify: t.Notify[:min(n, len(t.Notify))], ORcpt: t.ORcpt[:min(n, len(t.ORcpt))],
	}, t.Content())
	for range t.To[n:] {
		outcomes = append(outcomes, attempt.Outcome{Op: attempt.OpRcpt, Err: errRecipientLimit})
	}
	for i := range outcomes {
		if o := &outcomes[i]; o.Err != nil {
			o.Err = p.asError(*o)
		}
	}
	return outcomes
}

// slots returns how many messages the route can take, and how many of them may be large.
func (r *route) slots(concurrency int) (all, large int) {
	all, connections := concurrency, concurrency
	if m := r.relays.Well(); m != nil {
		if smtp := m.Item.smtp; smtp != nil {
			all, connections = smtp.Slots(), smtp.Connections()
		}
	}
	return all, max(1, connections-1-connections/4)
}

// calling returns the start function of a Transport. A call that ends its goroutine has given no outcome.
func calling(t Transport) func(context.Context, *Transaction, func([]attempt.Outcome)) {
	return func(ctx context.Context, tx *Transaction, done func([]attempt.Outcome)) {
		go func() {
			var outcomes []attempt.Outcome
			defer func() { done(outcomes) }()
			outcomes = t.Deliver(ctx, tx)
		}()
	}
}

// offeringTo returns the start function of a relay that speaks SMTP or LMTP. Each failure is reported as the error that
// asError makes of it.
func offeringTo(
	r *smtppool.Relay, asError func(attempt.Outcome) error,
) func(context.Context, *Transaction, func([]attempt.Outcome)) {
	return func(ctx context.Context, t *Transaction, done func([]attempt.Outcome)) {
		if t.CutOnly {
			ctx = context.Background() // the relay need not watch a context for each message
		}
		r.Offer(ctx, &smtpclient.Transaction{
			From: t.From, To: t.To, Size: t.Size, EightBit: t.EightBit, UTF8: t.UTF8,
			Ret: t.Ret, EnvID: t.EnvID, Notify: t.Notify, ORcpt: t.ORcpt,
			Content: smtppool.Content(t.Content), SevenBit: smtppool.SevenBit(t.Content),
		}, func(outcomes []attempt.Outcome) {
			for i := range outcomes {
				if o := &outcomes[i]; o.Err != nil {
					o.Withdrawn = errors.Is(o.Err, context.Canceled)
					o.Err = asError(*o)
				}
			}
			done(outcomes)
		})
	}
}
