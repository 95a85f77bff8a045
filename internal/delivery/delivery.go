// Package delivery sends messages: it knows the routes, the relays of each route in order of preference, which relays
// can be used now, and how many messages each can take at a time. One attempt goes from a [Transaction] to a
// [Result]: the message is offered to the first usable relay and, if that relay turns out to be unusable, to the next
// one. The package does not know when a message is tried again.
//
// A Delivery has one owner. Only Lease.Offer works in the background; its Result goes back to the owner, who hands it
// to Settle.
package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/routing"
	"github.com/unbit/spoolgore/internal/smtppool"
)

// Transaction is one message offered to some of its recipients. Notify and ORcpt are in step with To, or empty.
type Transaction struct {
	Name              string // of the message file, for logs
	From              string // reverse-path; empty: the null sender
	To                []string
	Ret, EnvID        string   // RFC 3461, sections 4.3 and 4.4
	ID                string   // the sender's own; empty: none
	Notify, ORcpt     []string // RFC 3461, sections 4.1 and 4.2
	NotBefore, Expire time.Time
	Priority          int
	MessageID         string        // with which the message is sent
	Enqueued          time.Time     // when the message was first seen
	Attempt           int           // number of the transaction of this message, from 1
	Identity          func() string // of the version of the file
	Size              int64         // octets of Content
	EightBit          bool          // Content has octets above 127
	UTF8              bool          // the header of Content has octets above 127
	Content           func() io.Reader
	CutOnly           bool // the context of the attempt ends only when Cut is called, too
	_                 struct{}
}

// Transport offers messages in place of the relays. Deliver blocks; it returns soon after ctx ends.
type Transport interface {
	Deliver(ctx context.Context, t *Transaction) []attempt.Outcome
}

// Config are the settings of a Delivery.
type Config struct {
	Routes      []Route       // the last one is for every sender that no other route names
	Transport   Transport     // takes the place of all relays; nil: SMTP or LMTP to the relays
	HandsOn     bool          // Transport is another queue, which waits and limits: it rests for a short time only
	Concurrency int           // connections to a relay, or calls of Deliver, at the same time
	Auto        bool          // more connections than Concurrency while more of them make a relay faster
	Timeout     time.Duration // limit of each step of a transaction; zero: the limits of RFC 5321, section 4.5.3.2
	LocalName   string        // name in EHLO; empty: the name of the host
	TLSConfig   *tls.Config   // for relays without settings of their own; nil: the default of smtpclient
	Dial        func(ctx context.Context, network, addr string) (net.Conn, error)
	Log         *slog.Logger // for messages of exec: relays

	// AsError returns the error under which the failure of a relay is reported.
	AsError func(o attempt.Outcome) error

	Jitter func(time.Duration) time.Duration // spreads the pauses of relays
	Grown  func()                            // called from any goroutine when a relay can take more; it must not block
}

// Jitter varies d by up to a tenth, so that messages that failed together are not retried together.
func Jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// Route is the way of the mail of some senders.
type Route struct {
	Sender string // pattern of package routing, as "@example.com" or "to:@example.com"; empty: last route
	Addr   string // relays in order of preference, separated by commas
	SMTP   smtppool.Settings
}

// RouteOf returns the function that tells the route of a sender, as an index of Routes.
func (c Config) RouteOf() func(sender string) int {
	last := len(c.Routes) - 1
	if c.Transport != nil {
		return func(string) int { return last }
	}
	route := routing.By(c.asciiPatterns())
	return func(sender string) int { return route(rewrite.ASCIIDomain(sender)) }
}

// RouteTo returns the function that returns the route of a recipient who has one, as an index of Routes. RouteTo
// returns nil if no recipient has one.
func (c Config) RouteTo() func(to string) (route int, ok bool) {
	if c.Transport != nil {
		return nil
	}
	route := routing.To(c.asciiPatterns())
	if route == nil {
		return nil
	}
	return func(to string) (int, bool) { return route(rewrite.ASCIIDomain(to)) }
}

// SameRoutes reports whether each sender and recipient has the same route in c and other.
func (c Config) SameRoutes(other Config) bool {
	return (c.Transport == nil) == (other.Transport == nil) && slices.Equal(c.patterns(), other.patterns())
}

// patterns returns the pattern of each route but the last.
func (c Config) patterns() (all []string) {
	for _, r := range c.Routes[:len(c.Routes)-1] {
		all = append(all, r.Sender)
	}
	return all
}

// asciiPatterns returns the patterns with domains in ASCII: an address may have its domain in either form (RFC 5890).
func (c Config) asciiPatterns() []string {
	all := c.patterns()
	for i := range all {
		all[i] = rewrite.ASCIIDomain(all[i])
	}
	return all
}

// Delivery is the state of all routes.
type Delivery struct {
	config  Config
	routes  []*route
	retired []retired // relays that may still have connections
}

// New returns a Delivery. It opens no connection.
func New(c Config) (*Delivery, error) {
	routes, err := newRoutes(c, nil)
	if err != nil {
		return nil, err
	}
	return &Delivery{config: c, routes: routes}, nil
}

// Routes returns the number of routes.
func (d *Delivery) Routes() int { return len(d.routes) }

// Slots are what a route can take now.
type Slots struct {
	Any       int // further messages
	Large     int // further large messages
	LargeBusy int // large messages that are being sent
}

// Slots returns what route i can take now.
func (d *Delivery) Slots(i int) Slots {
	r := d.routes[i]
	all, large := r.slots(d.config.Concurrency)
	return Slots{Any: max(0, all-r.busy), Large: max(0, large-r.large), LargeBusy: r.large}
}

// Free returns how many messages all routes together can take now.
func (d *Delivery) Free() (n int) {
	for i := range d.routes {
		n += d.Slots(i).Any
	}
	return n
}

// Take asks for the relays of route i that can be used now. It returns nil if there are none. The caller goes on with
// Lease.Begin and Lease.Offer, or gives the relays back with Lease.Release.
func (d *Delivery) Take(i int, now time.Time) *Lease {
	r := d.routes[i]
	relays := r.relays.Take(now)
	if len(relays) == 0 {
		return nil
	}
	return &Lease{route: r, relays: relays, began: now}
}

// Wait returns the time until Take may succeed for route i; negative: a lease has to end first.
func (d *Delivery) Wait(i int, now time.Time) time.Duration { return d.routes[i].relays.Wait(now) }

// Trouble returns why no relay of route i can be used; nil: one can.
func (d *Delivery) Trouble(i int) error {
	r := d.routes[i]
	if r.relays.Well() != nil {
		return nil
	}
	var errs []error
	for _, m := range r.relays {
		errs = append(errs, fmt.Errorf("%s: %w", m.Item.name, m.Err()))
	}
	return errors.Join(errs...)
}

// Stuck reports whether no relay of route i can be used, and a second attempt has shown so.
func (d *Delivery) Stuck(i int) bool {
	return !slices.ContainsFunc(d.routes[i].relays, func(m *member) bool { return !m.Probed() })
}

// Wake ends the pauses of all relays: each may be tried at once. Connections that wait for a greeting are dropped.
func (d *Delivery) Wake(now time.Time) {
	for _, r := range d.routes {
		r.relays.Wake(now)
		for _, m := range r.relays {
			if m.Item.smtp != nil {
				m.Item.smtp.Redial()
			}
		}
	}
}

// Cut ends every transaction that is under way over SMTP. The outcomes say so, with cause as the error.
func (d *Delivery) Cut(cause error) {
	for _, r := range d.routes {
		for _, m := range r.relays {
			if m.Item.smtp != nil {
				m.Item.smtp.Cut(cause)
			}
		}
	}
	for _, x := range d.retired {
		x.smtp.Cut(cause)
	}
}

// Stop withdraws what no relay has received any part of, and ends the making of connections. Transactions under way go
// on. Take is not called after Stop.
func (d *Delivery) Stop() {
	for _, r := range d.routes {
		for _, m := range r.relays {
			if m.Item.smtp != nil {
				m.Item.smtp.Retire(errStopped)
			}
		}
	}
}

// errStopped is the cause of an offer that Stop has withdrawn. Such an offer is no attempt.
var errStopped = fmt.Errorf("the spool is being stopped: %w", context.Canceled)

// Close closes all connections. No transaction may be under way.
func (d *Delivery) Close() {
	for _, r := range d.routes {
		for _, m := range r.relays {
			if m.Item.smtp != nil {
				m.Item.smtp.Close()
			}
		}
	}
	for _, x := range d.retired {
		<-x.ended
	}
}

// Health is the state of one relay of one route.
type Health struct {
	Name        string
	Route       int       // index of its route
	Connections int       // open now; zero with a Transport
	Limit       int       // of connections, as learnt
	SlowedUntil time.Time // time of the next message to a relay that asked for less mail; zero: not asked
	Slowed      string    // reply of the relay that asked for less mail; empty: none
	Pace        float64   // messages a minute to a relay that asked for less mail; zero: no limit
	Learnt      []string  // facts for which the relay is used in another way than the settings allow
	Err         error     // why the relay cannot be used; nil: it can
	Since       time.Time // when the trouble began
	Until       time.Time // when the relay is tried again, at the earliest
}

// Health returns the state of the relays of route i, in order of preference.
func (d *Delivery) Health(i int) (all []Health) {
	for _, m := range d.routes[i].relays {
		h := Health{
			Name: m.Item.name, Route: i, Limit: d.config.Concurrency, Err: m.Err(), Since: m.Since(), Until: m.Until(),
		}
		if smtp := m.Item.smtp; smtp != nil {
			h.Limit = smtp.Connections()
			u := smtp.Use()
			h.Connections, h.SlowedUntil, h.Slowed, h.Pace = u.Connections, u.SlowedUntil, u.Slowed, u.Pace
			h.Learnt = smtp.Learnt()
		}
		all = append(all, h)
	}
	return all
}

// Reconfigure goes on with other settings. A relay whose settings are the same keeps its connections and its state; any
// other one ends what it has begun, and what it has not begun is withdrawn. After an error nothing has changed.
func (d *Delivery) Reconfigure(c Config) (kept, ended int, err error) {
	var old []*member
	for _, r := range d.routes {
		old = append(old, r.relays...)
	}
	all := len(old)
	routes, err := newRoutes(c, old)
	if err != nil {
		return 0, 0, err
	}
	old = slices.DeleteFunc(old, func(m *member) bool { return m == nil })
	for _, m := range old {
		d.retire(m)
	}
	for i, r := range routes {
		for _, m := range r.relays {
			if m.Item.smtp != nil {
				m.Item.smtp.Allow(c.Concurrency, c.Auto)
			}
		}
		for _, was := range d.routes { // a route that keeps all its relays goes on with what it has under way
			isRetired := func(m *member) bool { return m.Item.retired }
			if was.sender == r.sender && !slices.ContainsFunc(was.relays, isRetired) {
				was.relays, routes[i] = r.relays, was
			}
		}
	}
	d.config, d.routes = c, routes
	return all - len(old), len(old), nil
}

// errRetired is the cause of a withdrawn offer to a retired relay. Such an offer is no attempt.
var errRetired = fmt.Errorf("the settings have changed: %w", context.Canceled)

// retired is a relay that another one has replaced; ended is closed when it has no connection any more.
type retired struct {
	smtp  *smtppool.Relay
	ended chan struct{}
}

// retire lets a relay end the transactions in progress, and makes no further offer.
func (d *Delivery) retire(m *member) {
	m.Item.retired = true
	smtp := m.Item.smtp
	if smtp == nil {
		return
	}
	smtp.Retire(errRetired)
	d.retired = slices.DeleteFunc(d.retired, func(x retired) bool {
		select {
		case <-x.ended:
			return true
		default:
			return false
		}
	})
	ended := make(chan struct{})
	d.retired = append(d.retired, retired{smtp, ended})
	go func() {
		defer close(ended)
		smtp.Close()
	}()
}

// lower is strings.ToLower, for senders.
func lower(sender string) string { return strings.ToLower(sender) }
