package spoolgore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/addrmask"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/guard"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/observers"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/ratelimit"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/smtppool"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Watch is how new files are noticed. [Spool.Put] tells a Run of the same Spool in any case.
type Watch int

// The values of Options.Watch.
const (
	WatchAuto Watch = iota // the system notifies where it can (inotify on Linux); scans find what it misses
	// Scans only, each Options.Freq. No goroutine waits for the kernel, so time moves in a testing/synctest bubble.
	WatchOff
)

// Rate is a list of limits for the number of recipients. All of them hold.
type Rate []Limit

// Limit allows N recipients in any period Per: a second, a minute, an hour or a day.
type Limit struct {
	N   int
	Per time.Duration
}

// ParseRate reads limits such as "14/s,600/m,50000/d". Empty text is no limit.
func ParseRate(text string) (Rate, error) {
	limits, err := ratelimit.Parse(text)
	if err != nil {
		return nil, err
	}
	r := make(Rate, len(limits))
	for i, l := range limits {
		r[i] = Limit(l)
	}
	return r, nil
}

// String returns the text that ParseRate reads.
func (r Rate) String() string {
	var parts []string
	for _, l := range r {
		parts = append(parts, ratelimit.Limit(l).String())
	}
	return strings.Join(parts, ",")
}

// MarshalText returns String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRate, for JSON and flag.TextVar.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
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
	if all, err = rewrite.New(s); err != nil || o.Transport != nil {
		return all, nil, err
	}
	for _, r := range o.Routes {
		own, err := all.With(r.EnvelopeSender, r.HeaderFrom)
		if err != nil {
			return nil, nil, fmt.Errorf("route for %q: %w", r.Sender, err)
		}
		routes = append(routes, own)
	}
	return all, routes, nil
}

// settings converts s for the SMTP client. A panic of a function of s becomes an error.
func (s SMTP) settings(log *slog.Logger) smtppool.Settings {
	c := smtppool.Settings{
		User: s.User, Password: s.Password, Token: s.Token, Mechanism: s.Mechanism,
		Secret: guard.Secret(log, "SMTP.Secret", s.Secret), Auth: guard.Auth(log, s.Auth),
		TLS: string(s.TLS), TLSConfig: s.TLSConfig, Pins: s.Pins, TLSMin: s.TLSMin,
		Family: s.Family, Recipients: s.Recipients, Idle: s.Idle,
		NoPipelining: s.NoPipelining, NoChunking: s.NoChunking, Window: s.Window, Version: s.Version,
	}
	if s.TokenSource != nil {
		secret := func(context.Context, bool) (string, error) { return s.TokenSource() }
		c.Token, c.Secret = true, guard.Secret(log, "SMTP.TokenSource", secret)
	}
	return c
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

// delivery converts complete options for the delivery.
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

// create makes the directory dir if Options.Create asks for that, and the directory has never been there.
func (o Options) create(dir *spooldir.Dir) (err error) {
	if o.Create {
		err = spooldir.Create(dir, o.StatusFile)
	}
	return err
}

// complete returns the options with all defaults, or an error for a wrong option.
func (o Options) complete(dir *spooldir.Dir) (Options, error) {
	if o.SMTPAddr == "" && o.Transport == nil {
		return o, errors.New("no relay: Options.SMTPAddr is empty")
	}
	for name, n := range map[string]int64{
		"Freq": int64(o.Freq), "Settle": int64(o.Settle), "Attempts": int64(o.Attempts), "MaxAge": int64(o.MaxAge),
		"Concurrency": int64(o.Concurrency), "Grace": int64(o.Grace),
		"SMTPTimeout": int64(o.SMTPTimeout), "WarnAfter": int64(o.WarnAfter), "Trace": int64(o.Trace),
		"MaxSize": o.MaxSize, "MaxRecipients": int64(o.MaxRecipients),
	} {
		if n < 0 {
			return o, fmt.Errorf("option %s is negative", name)
		}
	}
	o.Freq = cmp.Or(o.Freq, 10*time.Second)
	o.Settle = cmp.Or(o.Settle, spooldir.SettleTime)
	o.Attempts = cmp.Or(o.Attempts, retry.Attempts)
	o.MaxAge = cmp.Or(o.MaxAge, retry.MaxAge)
	o.MaxRecipients = cmp.Or(o.MaxRecipients, record.MaxRecipients)
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.StatusFile = cmp.Or(o.StatusFile, dir.File(spooldir.StatusFile))
	usual := func(attempts int) time.Duration { return delivery.Jitter(retry.After(attempts)) }
	o.Backoff = guard.Backoff(o.Logger, o.Backoff, usual)
	for _, r := range append([]Route{{SMTP: o.SMTP}}, o.Routes...) {
		if s := r.SMTP; s.TokenSource != nil && (s.Secret != nil || s.Password != "") {
			return o, errors.New("options SMTP.TokenSource and Secret or Password: only one of them can be the login")
		}
	}
	if o.Watch != WatchAuto && o.Watch != WatchOff {
		return o, fmt.Errorf("option Watch: no value %d", o.Watch)
	}
	if o.ShortAddresses {
		o.Logger = slog.New(addrmask.NewHandler(o.Logger.Handler(), nil))
	}
	if o.Postmaster != "" {
		if _, err := message.Canonical(o.Postmaster); err != nil {
			return o, fmt.Errorf("option Postmaster: %q is no address: %w", o.Postmaster, err)
		}
	}
	if _, _, err := o.rewriting(); err != nil {
		return o, err
	}
	var err error
	o.StatusFile, err = filepath.Abs(o.StatusFile)
	return o, err
}

// Internal returns the options with all defaults, in the terms of internal packages. Only package fleet can use it.
func (o Options) Internal() (engine.Options, error) {
	full, err := o.complete(&spooldir.Dir{})
	return full.engine(&observers.List[Event]{}), err
}

// engine converts complete options for the engine. watchers get every event after OnEvent.
func (o Options) engine(watchers *observers.List[Event]) engine.Options {
	rules, routes, _ := o.rewriting() // complete has checked them
	return engine.Options{
		StatusFile: o.StatusFile, Freq: o.Freq, Settle: o.Settle, Temporary: o.TemporaryNames,
		MaxAge: o.MaxAge, WarnAfter: o.WarnAfter, Reports: !o.NoReports, PickupDots: o.PickupDots,
		Retry: record.Rule{MaxAttempts: o.Attempts, Backoff: o.Backoff},
		Most:  o.MaxRecipients, Rate: o.Rate.String(), Grace: o.Grace, LocalName: o.LocalName, Logger: o.Logger,
		Trace: o.Trace, ShortAddresses: o.ShortAddresses,
		OnEvent: func(ev queue.Event) {
			e := eventOf(ev)
			if o.OnEvent != nil {
				_ = guard.Call(o.Logger, "Options.OnEvent", func() { o.OnEvent(e) })
			}
			watchers.Call(func(f func(Event)) { _ = guard.Call(o.Logger, "function of Observe", func() { f(e) }) })
		},
		OnAttempt: o.onAttempt(),
		Delivery:  o.delivery(), Rewrite: rules, RouteRewrite: routes, Postmaster: o.Postmaster,
	}
}
