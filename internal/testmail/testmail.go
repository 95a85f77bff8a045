// Package testmail sends one message through the real path, and tells a person what comes of each step, what a failure means,
// and what to do about it.
package testmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/diagnose"
	"github.com/unbit/spoolgore/internal/explain"
	"github.com/unbit/spoolgore/internal/smtppool"
)

// An Outcome is what has become of the message.
type Outcome int

// The outcomes.
const (
	NoAnswer Outcome = iota // nothing yet
	Deferred                // not taken now, or no relay could be used: it would be tried again
	Failed                  // given up
	Accepted                // by a relay
)

// A Test is one message on its way. The fields are set before it is sent.
type Test struct {
	Page     explain.Page
	From, To string
	Log      slog.Handler // gets the log of a run; nil: nobody does

	mu      sync.Mutex
	name    string // of the message's file
	outcome Outcome
	next    time.Time // of the next attempt; zero: not known
	final   func()    // called when nothing more is to come
	told    string    // the trouble that was told last
	advised diagnose.Advice
	reached string // the place that was connected to last
}

// Message is the text of the message, which says that it is from host.
func (t *Test) Message(host string, now time.Time) io.Reader {
	return strings.NewReader(fmt.Sprintf("From: <%s>\nTo: <%s>\nSubject: Test message from %s\nDate: %s\nAuto-Submitted: auto-generated\n"+
		"MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n"+
		"This is a test of how mail leaves %s. If you can read it, it does.\n\nIt was sent with spoolgore test.\n",
		t.From, t.To, host, now.Format(time.RFC1123Z), host))
}

// Put leaves the message in the spool.
func (t *Test) Put(ctx context.Context, spool *spoolgore.Spool, host string) (name string, err error) {
	t.name, err = spool.Put(ctx, spoolgore.Envelope{From: t.From, To: []string{t.To}}, t.Message(host, time.Now()))
	if err == nil {
		t.Page.Line("spooled", "as %s", t.name)
	}
	return t.name, err
}

// Hooks returns the options of a run that tells what becomes of the message.
func (t *Test) Hooks(opts spoolgore.Options) spoolgore.Options {
	dial := opts.Dial
	if dial == nil {
		dial = smtppool.Dial
	}
	opts.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err == nil {
			t.connected(addr, conn)
		}
		return conn, err
	}
	opts.OnEvent = t.event
	opts.Logger = slog.New(&listener{t: t, next: t.Log})
	return opts
}

// Drain sends what is due in the spool once, with the message among it. The error is that of Drain, but for trouble with a
// relay, which is told and an outcome.
func (t *Test) Drain(ctx context.Context, spool *spoolgore.Spool) (Outcome, error) {
	err := spool.Drain(ctx)
	return t.end(err)
}

// Run is Drain that goes on, through later attempts too, until the message is accepted or given up, or ctx ends.
func (t *Test) Run(ctx context.Context, spool *spoolgore.Spool) (Outcome, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	t.final = stop
	return t.end(spool.Run(ctx))
}

func (t *Test) end(err error) (Outcome, error) {
	if errors.As(err, new(*spoolgore.DeliveryError)) {
		err = nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outcome, err
}

// Next is when the message is tried again; zero: not known.
func (t *Test) Next() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// connected tells of a connection.
func (t *Test) connected(addr string, conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	where := addr
	if remote := conn.RemoteAddr(); remote != nil && remote.String() != addr {
		where = fmt.Sprintf("%s, which is %s", addr, remote)
	}
	if where != t.reached { // a second try at the same place is no news
		t.Page.Line("connected", "to %s", where)
	}
	t.reached = where
}

// event tells what became of the message. Of trouble with a relay the log tells, for each relay.
func (t *Test) event(ev spoolgore.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ev.File != t.name || errors.Is(ev.Err, context.Canceled) { // or it is we who have ended it
		return
	}
	switch ev.Kind {
	case spoolgore.EventSent:
		t.accepted(ev)
	case spoolgore.EventFailed:
		t.outcome = Failed
		t.tell("failed", ev.Relay, ev.Err)
	case spoolgore.EventDeferred:
		if t.outcome = Deferred; ev.Fault == spoolgore.FaultMessage || ev.Fault == spoolgore.FaultRecipient {
			t.next = ev.Next
			t.tell("put off", ev.Relay, ev.Err)
		}
	case spoolgore.EventUnusable:
		t.tell("trouble", "", ev.Err)
	}
	if t.outcome >= Failed && t.final != nil {
		t.final()
	}
}

func (t *Test) accepted(ev spoolgore.Event) {
	t.outcome = Accepted
	by := ev.Relay
	if ev.TLS != "" {
		by += ", over " + ev.TLS
	} else {
		by += ", in the clear"
	}
	t.Page.Line("accepted", "by %s: %s", by, ev.Reply)
}

// tell tells why something went wrong.
func (t *Test) tell(label, relay string, err error) {
	text := err.Error()
	if relay != "" {
		text = relay + ": " + text
	}
	t.told = text
	t.Page.Line(label, "%s", text)
	t.advise(diagnose.Of(err))
}

// advise says what a failure means, unless it said so of the last one.
func (t *Test) advise(f diagnose.Failure) {
	if a := f.Advice(); a != t.advised {
		t.advised = a
		t.Page.Advice(a)
	}
}

// A listener hears in the log which relays cannot be used, and passes the log on.
type listener struct {
	t    *Test
	next slog.Handler // nil: nobody
}

// Enabled is true for what the listener, or the next one, hears.
func (l *listener) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || l.next != nil && l.next.Enabled(ctx, level)
}

// Handle hears a record.
func (l *listener) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "relay unavailable" {
		relay, err := "", error(nil)
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "relay":
				relay = a.Value.String()
			case "err":
				err, _ = a.Value.Any().(error)
			}
			return true
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			l.t.mu.Lock()
			l.t.tell("trouble", relay, err)
			l.t.mu.Unlock()
		}
	}
	if l.next != nil && l.next.Enabled(ctx, r.Level) {
		return l.next.Handle(ctx, r)
	}
	return nil
}

// WithAttrs and WithGroup are not used by a run.
func (l *listener) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup returns l.
func (l *listener) WithGroup(string) slog.Handler { return l }
