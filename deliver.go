package spoolgore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/guard"
	"github.com/unbit/spoolgore/internal/ratelimit"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/smtppool"
)

// A Transport takes messages from a spool. The built-in transport speaks SMTP and LMTP, see [NewSMTP]. An application
// can set another Transport in Options.Transport. One with a method HandsOn() is another queue, such as that of package
// fleet: NotBefore and Options.Rate do not count here, acceptances are EventHandedOn, and it rests for 10 s at most.
type Transport interface {
	// Deliver offers t once to all of t.To and returns a result for each, in the same order. It must return soon after
	// ctx ends. Up to Options.Concurrency goroutines call Deliver at the same time. A missing result counts as a
	// temporary failure, and so does an error that is not a *DeliveryError.
	Deliver(ctx context.Context, t *Transaction) []Result
}

// TransportFunc is a function as a Transport.
type TransportFunc func(ctx context.Context, t *Transaction) []Result

// Deliver calls f.
func (f TransportFunc) Deliver(ctx context.Context, t *Transaction) []Result { return f(ctx, t) }

// A Transaction offers one message to the recipients in To, which may be only some of the message's recipients. Notify
// and ORcpt have the values for To in the same order, or are empty.
type Transaction struct {
	Envelope
	Name      string    // name of the message file in the spool, for logs
	Size      int64     // exact size of the content in octets
	EightBit  bool      // the content has octets above 127
	UTF8      bool      // the header has octets above 127
	MessageID string    // with which the message is sent
	Enqueued  time.Time // when the message was first seen
	Attempt   int       // number of the transaction for this message, from 1
	Identity  string    // the same in every offer of one version of the file, under any name

	// Content returns the message for sending: lines end in CRLF, Bcc is removed, dots are not stuffed. Each call
	// returns a reader from the start of the message, valid until Deliver returns. After an error of the reader the
	// transport must not complete the message.
	Content func() io.Reader
}

// Result is the result of one transaction for one recipient.
type Result struct {
	Relay string // relay of the reply, as "mail.example.com:25"; empty: filled in by the spool
	Addr  string // IP address and port of the relay; empty: not known
	Reply string // reply, as "250 2.0.0 Ok: queued as 4F1"; empty: none
	TLS   string // version of TLS, as "TLS 1.3"; empty: none
	DSN   bool   // the relay sends the reports of Notify (RFC 3461); false: the spool reports success
	Err   error  // nil: accepted, and never sent again; a *DeliveryError says more

	// RetryAfter is the time before which another attempt is pointless, as an HTTP API says with 429: the recipient, or
	// with FaultRelay the Transport, is left alone for so long, at most a day. Zero: the retry rule decides.
	RetryAfter time.Duration
}

// Fault is the party at fault when a recipient was not served. The fault decides about the next attempt.
type Fault int

// The faults.
const (
	FaultNone Fault = iota // no party: not offered in this transaction, offered again at once
	// The relay cannot be used: no attempt is counted, and the relay rests for a while
	FaultRelay
	FaultMessage   // this message was not accepted
	FaultRecipient // this recipient was not accepted
)

// String returns "none", "relay", "message" or "recipient".
func (f Fault) String() string { return attempt.Fault(f).String() }

// DeliveryError is the reason why one recipient was not served.
type DeliveryError struct {
	Fault     Fault
	Op        string // step: "dial", "greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "content", "end"
	Code      int    // reply code (RFC 5321, section 4.2); zero: no reply
	Permanent bool   // make no further attempt
	Uncertain bool   // the message was sent completely, but no reply came: the relay may have accepted the message
	Err       error  // cause

	outcome attempt.Outcome // of NewSMTP: has more than the fields above
}

// Error returns the step and the cause.
func (e *DeliveryError) Error() string {
	return attempt.Text(attempt.Op(e.Op), e.Err, e.Uncertain)
}

// Unwrap returns the cause.
func (e *DeliveryError) Unwrap() error { return e.Err }

// deliveryError returns the failure of a relay as a *DeliveryError.
func deliveryError(o attempt.Outcome) error {
	return &DeliveryError{
		Fault: Fault(o.Fault), Op: string(o.Op), Code: o.Code,
		Permanent: o.Permanent, Uncertain: o.Uncertain, Err: o.Err, outcome: o,
	}
}

// adapter makes a Transport of the application a transport of the delivery.
type adapter struct {
	Transport
	log *slog.Logger
}

// Deliver offers t to the Transport.
func (a adapter) Deliver(ctx context.Context, t *delivery.Transaction) []attempt.Outcome {
	offer := offerOf(t)
	var results []Result
	if err := guard.Call(a.log, "Transport.Deliver", func() { results = a.Transport.Deliver(ctx, offer) }); err != nil {
		results = slices.Repeat([]Result{{Err: err}}, len(t.To))
	}
	outcomes := make([]attempt.Outcome, len(results))
	for i, r := range results {
		outcomes[i] = outcomeOf(r)
		outcomes[i].Withdrawn = outcomes[i].Withdrawn && ctx.Err() != nil // only the spool withdraws an offer
	}
	return outcomes
}

// offerOf returns t as a Transport gets it.
func offerOf(t *delivery.Transaction) *Transaction {
	identity := ""
	if t.Identity != nil {
		identity = t.Identity()
	}
	return &Transaction{
		Envelope: Envelope{
			From: t.From, To: t.To, Ret: t.Ret, EnvID: t.EnvID, Notify: t.Notify, ORcpt: t.ORcpt,
			NotBefore: t.NotBefore, Expire: t.Expire, Priority: t.Priority, ID: t.ID,
		},
		Name: t.Name, Size: t.Size, EightBit: t.EightBit, UTF8: t.UTF8, Content: t.Content,
		MessageID: t.MessageID, Enqueued: t.Enqueued, Attempt: t.Attempt, Identity: identity,
	}
}

// resultsOf returns outcomes as a Transport gives them.
func resultsOf(outcomes []attempt.Outcome) []Result {
	results := make([]Result, len(outcomes))
	for i, o := range outcomes {
		results[i] = Result{
			Relay: o.Relay, Addr: o.Addr, Reply: o.Reply, TLS: o.TLS, DSN: o.DSN, Err: o.Err, RetryAfter: o.RetryAfter,
		}
	}
	return results
}

// outcomeOf classifies a result. An error without a *DeliveryError is temporary, and the fault of the message.
func outcomeOf(r Result) attempt.Outcome {
	o := attempt.Outcome{Relay: r.Relay, Addr: r.Addr, Reply: r.Reply, TLS: r.TLS, DSN: r.DSN, Err: r.Err}
	o.RetryAfter = min(max(0, r.RetryAfter), 24*time.Hour)
	if r.Err == nil {
		return o
	}
	// Error would panic
	if v := reflect.ValueOf(r.Err); v.Kind() == reflect.Pointer && v.IsNil() {
		o.Err = &DeliveryError{Fault: FaultMessage, Err: errors.New("the transport gave a nil pointer as an error")}
	}
	d := new(DeliveryError)
	if !errors.As(o.Err, &d) || d == nil {
		o.Fault = attempt.Message
	} else {
		o.Fault, o.Op, o.Code = attempt.Fault(d.Fault), attempt.Op(d.Op), d.Code
		from := d.outcome
		o.Permanent, o.Uncertain, o.Rested, o.Final = d.Permanent, d.Uncertain, from.Rested, from.Final
		o.Undecided, o.Throttled, o.Cause, o.Enhanced = from.Undecided, from.Throttled, from.Cause, from.Enhanced
	}
	o.Withdrawn = errors.Is(o.Err, context.Canceled)
	return o
}

// NewSMTP returns the transport that a Spool with opts uses if Options.Transport is nil. An application can wrap the
// transport to filter, copy or sign mail. The transport also implements io.Closer: Close closes all connections, and
// must not be called during Deliver. Only the options for relays, TLS and login count. An error means a wrong option.
func NewSMTP(opts Options) (Transport, error) {
	opts.Transport = nil
	eo, err := opts.Internal()
	if err == nil {
		var direct *delivery.Direct
		if direct, err = delivery.NewDirect(eo.Delivery); err == nil {
			return smtpTransport{direct}, nil
		}
	}
	return nil, fmt.Errorf("spoolgore: %w", err)
}

// smtpTransport is the SMTP transport on its own.
type smtpTransport struct{ *delivery.Direct }

// Deliver offers t to the relays of its sender.
func (s smtpTransport) Deliver(ctx context.Context, t *Transaction) []Result {
	return resultsOf(s.Offer(ctx, &delivery.Transaction{
		Name: t.Name, From: t.From, To: t.To, Ret: t.Ret, EnvID: t.EnvID, Notify: t.Notify, ORcpt: t.ORcpt,
		NotBefore: t.NotBefore, Expire: t.Expire, Priority: t.Priority, ID: t.ID,
		Size: t.Size, EightBit: t.EightBit, UTF8: t.UTF8, Content: t.Content,
	}))
}

// A Route sends the mail of some senders, or to some recipients, through other relays.
type Route struct {
	// Sender is "ann@example.com", "@example.com" for a domain, or "*"; the most exact Route counts.
	// "to:bob@example.org" and "to:@example.org" choose by the recipient instead, and count before senders. A
	// message whose recipients take several routes is sent once by each route.
	Sender   string
	SMTPAddr string // as Options.SMTPAddr
	SMTP     SMTP

	// EnvelopeSender and HeaderFrom are Rewrite.Sender and Rewrite.From for this route. They count before Rewrite.
	EnvelopeSender, HeaderFrom string
}

// Rewrite are senders and recipients that take the place of those of the messages, at delivery. The file of a message
// stays as it was written, and acceptances are booked on its own recipients. The zero value changes nothing.
type Rewrite struct {
	Sender string // reverse-path of all mail but that of the null sender; empty: From, or unchanged

	// From is the address of the From field, and the reverse-path, too. The display name stays. The old address goes to
	// Reply-To, if there is none. A From field stays if a DKIM signature of its domain, or of one above, is there.
	From string

	// Senders are other addresses for some senders, in the envelope and in From, Sender and Reply-To. They count before
	// Sender and From.
	Senders []AddressPair

	// Redirect gets all mail in place of its recipients, whose addresses go to X-Original-To fields, 20 at most.
	Redirect string

	// Allow are patterns of recipients. A message with any other recipient is moved to hold/. Nil: all are allowed.
	Allow []string

	// Copies are addresses that get a copy of the mail of some senders. The sender gets no report about a copy.
	Copies []AddressPair
}

// AddressPair is an address for all addresses that match a pattern: "ann@example.com", "ann@*", "@example.com",
// "@*.example.com" for subdomains, or "*". The most exact pattern counts. In Rewrite.Senders, Address may also be "@"
// and a domain: the local part stays.
type AddressPair struct{ Pattern, Address string }

// SMTP are the settings of TLS, login and extensions. The zero value is a good default.
type SMTP struct {
	// User logs in, with the strongest mechanism that the relay offers and the settings allow; empty: no login.
	User string

	// Secret returns the password or, with Token, an OAuth 2.0 access token. Any goroutine calls Secret before each
	// login. again means that the relay refused the last secret. Nil: Password.
	Secret   func(ctx context.Context, again bool) (string, error)
	Password string
	Token    bool // XOAUTH2 or OAUTHBEARER (RFC 7628)
	// TokenSource returns an OAuth 2.0 access token, as the method Token of an oauth2.TokenSource does. It takes the
	// place of Secret, Password and Token. Any goroutine calls TokenSource before each login. Nil: Secret.
	TokenSource func() (accessToken string, err error)
	// The only AUTH mechanism to use: "SCRAM-SHA-256", "PLAIN", "EXTERNAL", ...; empty: any
	Mechanism string
	// Returns the application's client for a mechanism; nil, or a nil client: the built-in client
	Auth func(mechanism string) sasl.Client

	TLS TLSMode // zero: TLSAuto
	// Nil: Options.TLSConfig. If both are nil, a relay on loopback is not verified.
	TLSConfig *tls.Config
	// "sha256//BASE64" of public keys (RFC 7469, section 2.4). The relay must have one of the keys; the certificate is
	// not verified further
	Pins []string

	TLSMin string // lowest version: "1.0" to "1.3"; empty: 1.2. Below 1.2, weak ciphers are allowed, too

	Family     string        // "4" or "6": connect over IPv4 or IPv6 only; empty: both
	Recipients int           // limit for the recipients of a transaction; zero: none but what the relay's replies show
	ReportFrom string        // sender of reports after a refusal (5yz) of the null sender; empty: reports then fail
	NoQuotas   bool          // a refusal (5yz) about a quota or the account is final; false: mail waits for the quota
	Idle       time.Duration // an idle connection is closed after Idle; zero: 5 seconds

	NoPipelining, NoChunking bool // do without an extension although it is offered (RFC 2920, RFC 3030)
	// Maximum number of small messages in a flight with CHUNKING; a crash may send all of the flight twice; zero: 4
	Window int

	// Version identifies Secret, Auth and TLSConfig for Reconfigure, which cannot compare functions: settings with the
	// same Version count as equal. Empty: settings with a Secret or an Auth never count as equal.
	Version string
}

// TLSMode is the use of TLS with a relay. A failed handshake is never followed by an attempt without TLS.
type TLSMode string

// The values of SMTP.TLS.
const (
	TLSAuto     TLSMode = ""         // TLSImplicit on port 465, otherwise STARTTLS if the relay offers it
	TLSStartTLS TLSMode = "starttls" // STARTTLS, which the relay must then offer (RFC 3207)
	TLSImplicit TLSMode = "tls"      // TLS from the first octet (RFC 8314)
	TLSNone     TLSMode = "none"
)

// Rate is a list of limits for the number of recipients. All of them hold.
type Rate []Limit

// Limit allows N recipients in any period Per: a second, a minute, an hour or a day.
type Limit struct {
	N   int
	Per time.Duration
}

// ParseRate reads limits such as "14/s,600/m,50000/d". Empty text is no limit.
func ParseRate(text string) (Rate, error) { return ratelimit.ParseAs[Limit](text) }

// String returns the text that ParseRate reads.
func (r Rate) String() string { return ratelimit.Text(r) }

// MarshalText returns String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRate, for JSON and flag.TextVar.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// settings converts s for the SMTP client. A panic of a function of s becomes an error.
func (s SMTP) settings(log *slog.Logger) smtppool.Settings {
	c := smtppool.Settings{
		User: s.User, Password: s.Password, Token: s.Token, Mechanism: s.Mechanism,
		Secret: guard.Secret(log, "SMTP.Secret", s.Secret), Auth: guard.Auth(log, s.Auth),
		TLS: string(s.TLS), TLSConfig: s.TLSConfig, Pins: s.Pins, TLSMin: s.TLSMin,
		Family: s.Family, Recipients: s.Recipients, ReportFrom: s.ReportFrom, NoQuotas: s.NoQuotas, Idle: s.Idle,
		NoPipelining: s.NoPipelining, NoChunking: s.NoChunking, Window: s.Window, Version: s.Version,
	}
	if s.TokenSource != nil {
		secret := func(context.Context, bool) (string, error) { return s.TokenSource() }
		c.Token, c.Secret = true, guard.Secret(log, "SMTP.TokenSource", secret)
	}
	return c
}

// delivery converts o for the delivery. Logger is set.
func (o Options) delivery() delivery.Config {
	c := delivery.Config{
		Concurrency: cmp.Or(o.Concurrency, 20), Auto: o.Concurrency == 0, // 20: calls of Deliver, without SMTP
		Timeout: o.SMTPTimeout, LocalName: o.LocalName,
		TLSConfig: o.TLSConfig, Dial: guard.Dial(o.Logger, o.Dial), Log: o.Logger,
		AsError: deliveryError, Jitter: delivery.Jitter, Grown: func() {},
	}
	if o.Transport != nil {
		c.Transport = adapter{o.Transport, o.Logger}
		_, c.HandsOn = o.Transport.(interface{ HandsOn() })
	}
	for _, r := range o.Routes {
		c.Routes = append(c.Routes, delivery.Route{Sender: r.Sender, Addr: r.SMTPAddr, SMTP: r.SMTP.settings(o.Logger)})
	}
	c.Routes = append(c.Routes, delivery.Route{Addr: o.SMTPAddr, SMTP: o.SMTP.settings(o.Logger)})
	return c
}

// rewriting returns the rules of Rewrite, and those of each route.
func (o Options) rewriting() (all *rewrite.Rules, routes []*rewrite.Rules, err error) {
	w := o.Rewrite
	s := rewrite.Settings{Sender: w.Sender, From: w.From, Redirect: w.Redirect, Allow: w.Allow}
	for _, p := range w.Senders {
		s.Senders = append(s.Senders, rewrite.Pair(p))
	}
	for _, p := range w.Copies {
		s.Copies = append(s.Copies, rewrite.Pair(p))
	}
	var own []rewrite.Own
	for _, r := range o.Routes {
		own = append(own, rewrite.Own{Name: r.Sender, Sender: r.EnvelopeSender, From: r.HeaderFrom})
	}
	if o.Transport != nil {
		own = nil
	}
	return rewrite.NewAll(s, own)
}

// onAttempt converts OnAttempt for the engine.
func (o Options) onAttempt() engine.OnAttempt {
	if o.OnAttempt == nil {
		return nil
	}
	on := guard.Attempt(o.Logger, o.OnAttempt)
	return func(ctx context.Context, t *delivery.Transaction) (context.Context, func([]attempt.Outcome)) {
		within, end := on(ctx, offerOf(t))
		return within, func(outcomes []attempt.Outcome) { end(resultsOf(outcomes)) }
	}
}
