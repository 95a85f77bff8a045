package spoolgore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/smtppool"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Transport takes messages on from a spool. The one that ships speaks SMTP and LMTP, see [NewSMTP]; an application
// can bring its own as Options.Transport.
type Transport interface {
	// Deliver offers t once to all of t.To and returns the result for each, in the same order. It returns soon after
	// ctx ends. It is called by several goroutines at a time, up to Options.Concurrency. A missing result counts as a
	// temporary failure, and so does an error that is not a *DeliveryError.
	Deliver(ctx context.Context, t *Transaction) []Result
}

// TransportFunc is a function as a Transport.
type TransportFunc func(ctx context.Context, t *Transaction) []Result

// Deliver calls f.
func (f TransportFunc) Deliver(ctx context.Context, t *Transaction) []Result { return f(ctx, t) }

// Transaction is one message offered to some of its recipients: those in To. Notify and ORcpt are in step with To, or
// empty.
type Transaction struct {
	Envelope
	Name     string // of the message file in the spool, for logs
	Size     int64  // octets of the content, exactly
	EightBit bool   // the content has octets above 127
	UTF8     bool   // the header has octets above 127

	// Content returns the message as it is to be sent: lines end in CRLF, Bcc is removed, no dot is stuffed. Each
	// call starts afresh; the reader may be used until Deliver returns. An error of the reader means that the message
	// must not be completed.
	Content func() io.Reader
}

// Result is the result of one transaction for one recipient.
type Result struct {
	Relay string // the relay that answered, "mail.example.com:25"; empty: filled in
	Reply string // the reply, "250 2.0.0 Ok: queued as 4F1"; empty: none
	TLS   string // version of TLS, "TLS 1.3"; empty: none
	DSN   bool   // the relay sends the reports that Notify asks for (RFC 3461); otherwise success is reported here
	Err   error  // nil: accepted, never to be sent again; a *DeliveryError says more
}

// Fault is the party at fault when a recipient was not served. The fault decides what follows.
type Fault int

// The faults.
const (
	FaultNone Fault = iota // no party: not offered in this transaction, offered again at once
	// The relay cannot be used: no attempt is counted, and the relay is left alone for a while
	FaultRelay
	FaultMessage   // this message was not accepted
	FaultRecipient // this recipient was not accepted
)

// String returns "none", "relay", "message" or "recipient".
func (f Fault) String() string { return attempt.Fault(f).String() }

// DeliveryError says why one recipient was not served.
type DeliveryError struct {
	Fault     Fault
	Op        string // the step: "dial", "greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "content", "end"
	Code      int    // reply code (RFC 5321, section 4.2); zero: no reply
	Permanent bool   // another attempt is pointless
	Uncertain bool   // the message was sent whole and no reply was seen: the relay may have accepted it
	Err       error  // the cause
}

// Error returns the step and the cause.
func (e *DeliveryError) Error() string {
	text := "no reason given"
	if e.Err != nil {
		text = e.Err.Error()
	}
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

// deliveryError returns the failure of a relay as a *DeliveryError.
func deliveryError(o attempt.Outcome) error {
	return &DeliveryError{
		Fault: Fault(o.Fault), Op: string(o.Op), Code: o.Code,
		Permanent: o.Permanent, Uncertain: o.Uncertain, Err: o.Err,
	}
}

// adapter is a Transport of the application in the terms of the delivery.
type adapter struct{ Transport }

// Deliver offers t to the Transport.
func (a adapter) Deliver(ctx context.Context, t *delivery.Transaction) []attempt.Outcome {
	results := a.Transport.Deliver(ctx, &Transaction{
		Envelope: Envelope{
			From: t.From, To: t.To, Ret: t.Ret, EnvID: t.EnvID, Notify: t.Notify, ORcpt: t.ORcpt,
			NotBefore: t.NotBefore, Expire: t.Expire, Priority: t.Priority,
		},
		Name: t.Name, Size: t.Size, EightBit: t.EightBit, UTF8: t.UTF8, Content: t.Content,
	})
	outcomes := make([]attempt.Outcome, len(results))
	for i, r := range results {
		outcomes[i] = outcomeOf(r)
		outcomes[i].Withdrawn = outcomes[i].Withdrawn && ctx.Err() != nil // only the spool withdraws an offer
	}
	return outcomes
}

// outcomeOf classifies a result. Any error that is not a usable *DeliveryError is temporary, and the fault of the
// message.
func outcomeOf(r Result) attempt.Outcome {
	o := attempt.Outcome{Relay: r.Relay, Reply: r.Reply, TLS: r.TLS, DSN: r.DSN, Err: r.Err}
	if r.Err == nil {
		return o
	}
	// Of no use to anyone who reads the error
	if v := reflect.ValueOf(r.Err); v.Kind() == reflect.Pointer && v.IsNil() {
		o.Err = &DeliveryError{Fault: FaultMessage, Err: errors.New("the transport gave a nil pointer as an error")}
	}
	d := new(DeliveryError)
	if !errors.As(o.Err, &d) || d == nil {
		o.Fault = attempt.Message
	} else {
		o.Fault, o.Op, o.Code = attempt.Fault(d.Fault), attempt.Op(d.Op), d.Code
		o.Permanent, o.Uncertain = d.Permanent, d.Uncertain
	}
	o.Withdrawn = errors.Is(o.Err, context.Canceled)
	return o
}

// NewSMTP returns the transport that a Spool with these options uses when Options.Transport is nil. An application
// wraps it to filter, copy or sign mail. It also implements io.Closer: Close closes all connections, and may be
// called when no Deliver is under way. Of opts, the fields about relays, TLS and login count. An error says what is
// wrong with them.
func NewSMTP(opts Options) (Transport, error) {
	opts.Transport = nil
	full, err := opts.complete(&spooldir.Dir{})
	if err == nil {
		var direct *delivery.Direct
		if direct, err = delivery.NewDirect(full.delivery()); err == nil {
			return smtpTransport{direct}, nil
		}
	}
	return nil, fmt.Errorf("spoolgore: %w", err)
}

// smtpTransport is the SMTP transport on its own.
type smtpTransport struct{ *delivery.Direct }

// Deliver offers t to the relays of its sender.
func (s smtpTransport) Deliver(ctx context.Context, t *Transaction) []Result {
	outcomes := s.Offer(ctx, &delivery.Transaction{
		Name: t.Name, From: t.From, To: t.To, Ret: t.Ret, EnvID: t.EnvID, Notify: t.Notify, ORcpt: t.ORcpt,
		NotBefore: t.NotBefore, Expire: t.Expire, Priority: t.Priority,
		Size: t.Size, EightBit: t.EightBit, UTF8: t.UTF8, Content: t.Content,
	})
	results := make([]Result, len(outcomes))
	for i, o := range outcomes {
		results[i] = Result{Relay: o.Relay, Reply: o.Reply, TLS: o.TLS, DSN: o.DSN, Err: o.Err}
	}
	return results
}

// Route sends the mail of some senders through relays of their own.
type Route struct {
	Sender   string // "ann@example.com", else "@example.com" for a domain, else "*"; the most exact one counts
	SMTPAddr string // as Options.SMTPAddr
	SMTP     SMTP
}

// SMTP are the settings of TLS, login and extensions. The zero value is a good default.
type SMTP struct {
	// User logs in, with the strongest mechanism that the relay offers and the settings allow; empty: no login.
	User string

	// Secret returns the password or, with Token, an OAuth 2.0 access token. It is called for each login, by any
	// goroutine. again says that the relay has refused the last one. Nil: Password.
	Secret   func(ctx context.Context, again bool) (string, error)
	Password string
	Token    bool // XOAUTH2 or OAUTHBEARER (RFC 7628)
	// The only one to use: "SCRAM-SHA-256", "PLAIN", "EXTERNAL", ...; empty: any
	Mechanism string
	// A client of the application's own for a mechanism; nil, or a nil client: ours
	Auth func(mechanism string) sasl.Client

	// TLS is "starttls" for STARTTLS, and an error where it is not offered (RFC 3207), "tls" for TLS from the first
	// byte (RFC 8314), "none" for no TLS; empty, or "auto": from the first byte on port 465, otherwise STARTTLS where
	// it is offered. A failed handshake is never followed by an attempt in the clear.
	TLS       string
	TLSConfig *tls.Config // nil: Options.TLSConfig
	// "sha256//BASE64" of public keys (RFC 7469, section 2.4), one of which the relay must have; nothing else is
	// verified then
	Pins []string

	TLSMin string // lowest version: "1.0" to "1.3"; empty: 1.2. Below 1.2, weak ciphers are allowed, too

	Family     string        // "4" or "6": connect over IPv4 or IPv6 only; empty: both
	Recipients int           // limit for the recipients of a transaction; zero: none but what the relay's replies show
	Idle       time.Duration // an idle connection is closed after Idle; zero: 5 seconds

	NoPipelining, NoChunking bool // do without an extension although it is offered (RFC 2920, RFC 3030)
	// Small messages that may share a flight with CHUNKING, and be sent twice by a crash; zero: 4
	Window int

	// Version names what Secret, Auth and TLSConfig do, for Reconfigure, which cannot compare them: two with the same
	// Version count as equal. Empty: settings with a Secret or an Auth never count as equal.
	Version string
}

// settings returns s in the terms of the SMTP client.
func (s SMTP) settings() smtppool.Settings { return smtppool.Settings(s) }

// delivery returns complete options in the terms of the delivery.
func (o Options) delivery() delivery.Config {
	c := delivery.Config{
		Concurrency: o.Concurrency, Timeout: o.SMTPTimeout, LocalName: o.LocalName,
		TLSConfig: o.TLSConfig, Dial: o.Dial,
		AsError: deliveryError, Jitter: jitter, Grown: func() {},
	}
	if o.Transport != nil {
		c.Transport = adapter{o.Transport}
	}
	for _, r := range o.Routes {
		c.Routes = append(c.Routes, delivery.Route{Sender: r.Sender, Addr: r.SMTPAddr, SMTP: r.SMTP.settings()})
	}
	c.Routes = append(c.Routes, delivery.Route{Addr: o.SMTPAddr, SMTP: o.SMTP.settings()})
	return c
}

// jitter spreads d by a tenth to either side, so that what failed together is not tried again together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// create makes the directory dir if Options.Create asks for that, and the directory has never been there.
func (o Options) create(dir *spooldir.Dir) error {
	if !o.Create {
		return nil
	}
	return spooldir.Create(dir, o.StatusFile)
}

// complete returns the options with every default filled in, or says what is wrong with them.
func (o Options) complete(dir *spooldir.Dir) (Options, error) {
	if o.SMTPAddr == "" && o.Transport == nil {
		return o, errors.New("no relay: Options.SMTPAddr is empty")
	}
	for name, n := range map[string]int64{
		"Freq": int64(o.Freq), "Settle": int64(o.Settle), "Attempts": int64(o.Attempts), "MaxAge": int64(o.MaxAge),
		"Concurrency": int64(o.Concurrency), "Grace": int64(o.Grace),
		"SMTPTimeout": int64(o.SMTPTimeout), "WarnAfter": int64(o.WarnAfter),
	} {
		if n < 0 {
			return o, fmt.Errorf("option %s is negative", name)
		}
	}
	o.Freq = cmp.Or(o.Freq, 10*time.Second)
	o.Settle = cmp.Or(o.Settle, spooldir.SettleTime)
	o.Attempts = cmp.Or(o.Attempts, retry.Attempts)
	o.MaxAge = cmp.Or(o.MaxAge, retry.MaxAge)
	o.Concurrency = cmp.Or(o.Concurrency, 20)
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.StatusFile = cmp.Or(o.StatusFile, dir.File(spooldir.StatusFile))
	if o.Backoff == nil {
		o.Backoff = func(attempts int) time.Duration { return jitter(retry.After(attempts)) }
	}
	if o.Watch != WatchAuto && o.Watch != WatchOff {
		return o, fmt.Errorf("option Watch: no value %d", o.Watch)
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	var err error
	o.StatusFile, err = filepath.Abs(o.StatusFile)
	return o, err
}

// engine returns complete options in the terms of the engine.
func (o Options) engine() engine.Options {
	return engine.Options{
		StatusFile: o.StatusFile, Freq: o.Freq, Settle: o.Settle, Temporary: o.TemporaryNames,
		MaxAge: o.MaxAge, WarnAfter: o.WarnAfter, Reports: !o.NoReports, PickupDots: o.PickupDots,
		Retry: record.Rule{MaxAttempts: o.Attempts, Backoff: o.Backoff},
		Rate:  o.Rate, Grace: o.Grace, LocalName: o.LocalName, Logger: o.Logger,
		OnEvent:  func(ev queue.Event) { o.OnEvent(eventOf(ev)) },
		Delivery: o.delivery(),
	}
}
