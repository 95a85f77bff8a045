// Package testmail sends one message through the real path, and prints the result of each step, with the meaning of a
// failure and a remedy.
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

// An Outcome is the result of a test.
type Outcome int

// The outcomes.
const (
	NoAnswer Outcome = iota // none so far
	Deferred                // not accepted now, or no relay could be used: a daemon would retry
	Failed                  // given up
	Accepted                // by a relay
)

// A Test is one test message. The exported fields are set before it is sent.
type Test struct {
	Page     explain.Page
	From, To string
	Log      slog.Handler // gets the log of a run; nil: none

	mu      sync.Mutex
	name    string // of the message's file
	outcome Outcome
	next    time.Time // of the next attempt; zero: not known
	final   func()    // called after the last event
	told    string    // the last printed problem
	advised diagnose.Advice
	reached string // the last printed relay
}

// Message returns the text of the message. host is the name of this host.
func (t *Test) Message(host string, now time.Time) io.Reader {
	return strings.NewReader(fmt.Sprintf("From: <%s>\nTo: <%s>\nSubject: Test message from %s\nDate: "+
		"%s\nAuto-Submitted: auto-generated\n"+
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

// Hooks returns the options of a run with callbacks that print the results.
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

// Drain sends everything that is due in the spool once, and the message. Problems with a relay are printed, and are an
// outcome, not an error.
func (t *Test) Drain(ctx context.Context, spool *spoolgore.Spool) (Outcome, error) {
	err := spool.Drain(ctx)
	return t.end(err)
}

// Run is Drain with retries, until the message is accepted or given up, or ctx ends.
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

// event prints an event of the message. Problems of relays are printed by the listener, because the log has one line
// per relay.
func (t *Test) event(ev spoolgore.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ev.File != t.name || errors.Is(ev.Err, context.Canceled) { // also: this process has ended the run
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
			t.tell("deferred", ev.Relay, ev.Err)
		}
	case spoolgore.EventUnusable, spoolgore.EventHeld:
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

// advise prints the meaning of a failure, unless it is that of the last failure.
func (t *Test) advise(f diagnose.Failure) {
	if a := f.Advice(); a != t.advised {
		t.advised = a
		t.Page.Advice(a)
	}
}

// A listener is a log handler that finds unusable relays, and passes the log on.
type listener struct {
	t    *Test
	next slog.Handler // nil: none
}

// Enabled reports whether the listener or the next handler wants the level.
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
