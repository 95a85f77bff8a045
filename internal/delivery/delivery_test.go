package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/breaker"
	"github.com/unbit/spoolgore/internal/smtptest"
)

const content = "From: a@example.com\r\nTo: b@example.org\r\n\r\nhello\r\n"

// relays are fake relays by the first label of the host.
type relays map[string]*smtptest.Relay

func (r relays) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	name, _, _ := strings.Cut(addr, ".")
	return r[name].Dial(ctx, network, addr)
}

// script is a Reply function. The test sets the answers by verb.
type script struct {
	mu      sync.Mutex
	answers map[string]string
}

func (s *script) set(verb, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil {
		s.answers = make(map[string]string)
	}
	s.answers[verb] = answer
}

func (s *script) reply(verb, _ string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers[verb]
}

// config returns the settings of one route to the relays of list, without jitter.
func config(r relays, list string) Config {
	return Config{
		Routes: []Route{{Addr: list}}, Dial: r.dial, Concurrency: 4, LocalName: "client.example",
		AsError: func(o attempt.Outcome) error { return o.Err },
		Jitter:  func(d time.Duration) time.Duration { return d },
	}
}

func newDelivery(t *testing.T, c Config) *Delivery {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// messageTo returns a small message.
func messageTo(to ...string) *Transaction {
	return &Transaction{
		Name: "m", From: "a@example.com", To: to, Size: int64(len(content)),
		Content: func() io.Reader { return strings.NewReader(content) },
	}
}

// offer begins an attempt and returns a channel for the result.
func offer(t *testing.T, d *Delivery, route int, tx *Transaction) <-chan Result {
	t.Helper()
	lease := d.Take(route, time.Now())
	if lease == nil {
		t.Fatal("no relay can be used:", d.Trouble(route))
	}
	lease.Begin(tx.Size >= 1<<20)
	results := make(chan Result, 2)
	lease.Offer(t.Context(), tx, func(r Result) { results <- r })
	return results
}

// send makes an attempt for a message that has not failed before.
func send(t *testing.T, d *Delivery, tx *Transaction) (Result, Settled) {
	t.Helper()
	r := <-offer(t, d, 0, tx)
	s := d.Settle(&r, time.Time{}, time.Now())
	return r, s
}

// names returns the names of the relays in a list of failures.
func names(failures []Failure) (all []string) {
	for _, f := range failures {
		all = append(all, f.Relay)
	}
	return all
}

func TestFailoverToNextRelay(t *testing.T) {
	for name, row := range map[string]map[string]string{
		"no connection":    {"DIAL": "connection refused"},
		"greeting":         {"CONNECT": "554 5.7.1 blocked"},
		"EHLO":             {"EHLO": "421 4.3.2 closing", "HELO": "421 4.3.2 closing"},
		"MAIL, 421":        {"MAIL": "421 4.3.2 closing"},
		"MAIL, hanging up": {"MAIL": "close"},
		"login required":   {"MAIL": "530 5.7.0 authentication required"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				first := &script{answers: row}
				r := relays{"one": {Reply: first.reply}, "two": {}}
				d := newDelivery(t, config(r, "one.test:25, two.test:25"))
				defer d.Close()
				result, s := send(t, d, messageTo("b@example.org", "c@example.org"))
				is.Equal(len(result.Outcomes), 2)
				for _, o := range result.Outcomes {
					is.NoErr(o.Err)
					is.Equal(o.Relay, "two.test:25")
				}
				is.Equal(len(r["one"].Messages()), 0)
				is.Equal(r["two"].Messages()[0].To, []string{"b@example.org", "c@example.org"})
				is.Equal(names(s.Down), []string{"one.test:25"})
				is.True(s.Down[0].Until.Equal(time.Now().Add(breaker.First)))
				is.Equal(d.Trouble(0), nil) // the second relay can be used
				dials := r["one"].Connections()
				_, s = send(t, d, messageTo("b@example.org"))
				is.Equal(len(s.Down), 0)
				is.Equal(r["one"].Connections(), dials) // the first relay is not used during its pause
				is.Equal(len(r["two"].Messages()), 2)
			})
		})
	}
}

// A refused message or recipient says nothing about the relay.
func TestRefusalIsNoReasonForFailover(t *testing.T) {
	for name, row := range map[string]struct {
		answers map[string]string
		fault   attempt.Fault
	}{
		"recipient":          {map[string]string{"RCPT": "550 5.1.1 no such user"}, attempt.Recipient},
		"sender":             {map[string]string{"MAIL": "550 5.1.8 no"}, attempt.Message},
		"message":            {map[string]string{"END": "554 5.6.0 spam"}, attempt.Message},
		"lost after the end": {map[string]string{"END": "close"}, attempt.Message},
		"deferred":           {map[string]string{"RCPT": "450 4.2.1 later"}, attempt.Recipient},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				first := &script{answers: row.answers}
				r := relays{"one": {Reply: first.reply}, "two": {}}
				d := newDelivery(t, config(r, "one.test:25,two.test:25"))
				defer d.Close()
				result, s := send(t, d, messageTo("b@example.org"))
				is.Equal(result.Outcomes[0].Fault, row.fault)
				is.Equal(result.Outcomes[0].Relay, "one.test:25")
				is.Equal(r["two"].Connections(), 0)
				is.Equal(len(s.Down), 0)
				is.True(!s.Stumbled)
				is.Equal(d.Health(0)[0].Err, nil)
			})
		})
	}
}

func TestRelayPausesAndIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		only := &script{answers: map[string]string{"DIAL": "connection refused"}}
		r := relays{"one": {Reply: only.reply}}
		d := newDelivery(t, config(r, "one.test:25"))
		defer d.Close()
		began := time.Now()
		result, s := send(t, d, messageTo("b@example.org"))
		is.Equal(result.Outcomes[0].Fault, attempt.Relay)
		is.Equal(names(s.Down), []string{"one.test:25"})
		is.True(!s.Stumbled) // the relay did not get the message
		is.True(strings.Contains(d.Trouble(0).Error(), "one.test:25: "))
		is.True(!d.Stuck(0)) // one failure may be an accident
		is.Equal(d.Take(0, time.Now()), nil)
		is.Equal(d.Wait(0, time.Now()), breaker.First)

		time.Sleep(breaker.First)
		probe := d.Take(0, time.Now())
		is.True(probe != nil)
		is.Equal(d.Take(0, time.Now()), nil) // one message may probe the relay
		is.True(d.Wait(0, time.Now()) < 0)   // no second probe before the first one has ended
		probe.Release()                      // no attempt was made
		is.Equal(d.Wait(0, time.Now()), time.Duration(0))

		_, s = send(t, d, messageTo("b@example.org"))
		is.Equal(len(s.Down), 0) // the failure was reported before
		is.True(d.Stuck(0))
		is.Equal(d.Wait(0, time.Now()), 2*breaker.First)
		h := d.Health(0)[0]
		is.Equal(h.Name, "one.test:25")
		is.True(h.Since.Equal(began)) // since the first failure
		is.True(h.Until.Equal(time.Now().Add(2 * breaker.First)))
		is.True(h.Err != nil)

		only.set("DIAL", "")
		d.Wake(time.Now())
		is.Equal(d.Wait(0, time.Now()), time.Duration(0))
		result, s = send(t, d, messageTo("b@example.org"))
		is.NoErr(result.Outcomes[0].Err)
		is.Equal(s.Up, []string{"one.test:25"})
		is.NoErr(d.Trouble(0))
		is.True(!d.Stuck(0))
		synctest.Wait() // until the connection is idle
		_, s = send(t, d, messageTo("b@example.org"))
		is.Equal(len(s.Up), 0) // the recovery was reported before
		h = d.Health(0)[0]
		is.Equal(h.Connections, 1)
		is.True(h.Limit > 0)
		is.True(h.Err == nil && h.Since.IsZero())
	})
}

func TestAllRelaysFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		down := &script{answers: map[string]string{"DIAL": "connection refused"}}
		r := relays{"one": {Reply: down.reply}, "two": {Reply: down.reply}}
		d := newDelivery(t, config(r, "one.test:25,two.test:25"))
		defer d.Close()
		result, s := send(t, d, messageTo("b@example.org"))
		is.Equal(result.Outcomes[0].Relay, "two.test:25") // the relay that was tried last
		is.Equal(names(s.Down), []string{"one.test:25", "two.test:25"})
		for _, name := range []string{"one.test:25", "two.test:25"} {
			is.True(strings.Contains(d.Trouble(0).Error(), name))
		}
		is.Equal(len(d.Health(0)), 2)
	})
}

// Failures of transactions that began before the pause of the relay do not make the pause longer.
func TestFailuresTogetherArePausedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		down := &script{answers: map[string]string{"DIAL": "connection refused"}}
		d := newDelivery(t, config(relays{"one": {Reply: down.reply}}, "one.test:25"))
		defer d.Close()
		first, second := offer(t, d, 0, messageTo("b@example.org")), offer(t, d, 0, messageTo("c@example.org"))
		time.Sleep(time.Millisecond)
		r1, r2 := <-first, <-second
		is.Equal(len(d.Settle(&r1, time.Time{}, time.Now()).Down), 1)
		is.Equal(len(d.Settle(&r2, time.Time{}, time.Now()).Down), 0)
		is.Equal(d.Wait(0, time.Now()), breaker.First)
	})
}

// A relay that fails in the middle of a transaction is a fault of the relay the first time. If other mail got through
// since, the second failure is a fault of the message.
func TestMessageThatTwiceBreaksTheRelayIsAtFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		only := &script{answers: map[string]string{"MAIL": "close"}}
		d := newDelivery(t, config(relays{"one": {Reply: only.reply}}, "one.test:25"))
		defer d.Close()
		try := func(suspect time.Time) (Result, Settled) {
			r := <-offer(t, d, 0, messageTo("b@example.org"))
			s := d.Settle(&r, suspect, time.Now())
			return r, s
		}
		r, s := try(time.Time{})
		suspect := time.Now()
		is.Equal(r.Outcomes[0].Fault, attempt.Relay)
		is.True(s.Stumbled)
		is.Equal(len(s.Down), 1)

		time.Sleep(breaker.First)
		r, s = try(suspect) // no other mail was accepted: the relay may be down
		suspect = time.Now()
		is.Equal(r.Outcomes[0].Fault, attempt.Relay)
		is.True(s.Stumbled)

		only.set("MAIL", "")
		time.Sleep(2 * breaker.First)
		r, s = try(time.Time{}) // other mail was accepted
		is.NoErr(r.Outcomes[0].Err)
		is.Equal(len(s.Up), 1)

		only.set("MAIL", "close")
		time.Sleep(time.Second)
		r, s = try(suspect)
		is.Equal(r.Outcomes[0].Fault, attempt.Message)
		is.True(!s.Stumbled)
		is.Equal(len(s.Down), 0)
		is.NoErr(d.Trouble(0)) // the relay stays in use
	})
}

// A relay that fails before the transaction fails for any message.
func TestSuspectMessageIsNotAtFaultBeforeTheTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		only := &script{}
		d := newDelivery(t, config(relays{"one": {Reply: only.reply}}, "one.test:25"))
		suspect := time.Now()
		time.Sleep(time.Second)
		_, s := send(t, d, messageTo("b@example.org"))
		is.Equal(len(s.Down), 0)
		d.Close() // the idle connection is closed
		only.set("CONNECT", "421 4.3.2 overloaded")
		r := <-offer(t, d, 0, messageTo("b@example.org"))
		s = d.Settle(&r, suspect, time.Now())
		is.Equal(r.Outcomes[0].Fault, attempt.Relay)
		is.Equal(len(s.Down), 1)
	})
}

// A relay that cannot be used is not used for the recipients either for whom the transaction had no room.
func TestFailoverWithRecipientsThatWereNotOffered(t *testing.T) {
	for name, row := range map[string]map[string]string{
		"login required at MAIL": {"MAIL": "530 5.7.0 authentication required"},
		"login required at RCPT": {"RCPT": "530 5.7.0 authentication required"},
		"no storage":             {"RCPT": "452 4.3.1 no room"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				first := &script{answers: row}
				r := relays{"one": {Reply: first.reply}, "two": {}}
				c := config(r, "one.test:25, two.test:25")
				c.Routes[0].SMTP.Recipients = 1
				d := newDelivery(t, c)
				defer d.Close()
				result, s := send(t, d, messageTo("b@example.org", "c@example.org"))
				is.NoErr(result.Outcomes[0].Err)
				is.Equal(result.Outcomes[1].Fault, attempt.None) // for the next transaction
				is.Equal(names(s.Down), []string{"one.test:25"})
				is.Equal(r["two"].Messages()[0].To, []string{"b@example.org"})
			})
		})
	}
}

// A recipient accepted by another relay stays accepted.
func TestAcceptanceOfTheNextRelayStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		first := &script{}
		r := relays{"one": {Reply: first.reply}, "two": {}}
		d := newDelivery(t, config(r, "one.test:25,two.test:25"))
		defer d.Close()
		suspect := time.Now()
		time.Sleep(time.Second)
		send(t, d, messageTo("b@example.org")) // other mail is accepted
		first.set("MAIL", "close")
		time.Sleep(time.Second)
		result := <-offer(t, d, 0, messageTo("b@example.org"))
		s := d.Settle(&result, suspect, time.Now())
		is.NoErr(result.Outcomes[0].Err)
		is.Equal(result.Outcomes[0].Fault, attempt.None)
		is.Equal(result.Outcomes[0].Relay, "two.test:25")
		is.Equal(len(r["two"].Messages()), 1)
		is.Equal(len(s.Down), 0)          // the first relay failed because of the message
		is.Equal(d.Health(0)[0].Err, nil) // and stays in use
	})
}

// A relay that accepted one recipient and then failed took the message: the message is offered to no other relay.
func TestPartialAcceptanceIsNoReasonForFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		r := relays{"one": {LMTP: true, Reply: func(verb, arg string) string {
			if verb == "END" && arg == "c@example.org" {
				return "close"
			}
			return ""
		}}, "two": {LMTP: true}}
		d := newDelivery(t, config(r, "lmtp:one.test:24,lmtp:two.test:24"))
		defer d.Close()
		result, s := send(t, d, messageTo("b@example.org", "c@example.org"))
		is.NoErr(result.Outcomes[0].Err)
		is.True(result.Outcomes[1].Err != nil)
		is.Equal(result.Outcomes[1].Fault, attempt.Message)
		is.Equal(r["two"].Connections(), 0)
		is.Equal(len(s.Down), 0)
	})
}

// An exec: relay behaves like any relay: after a failure the next relay is used, and the relay pauses.
func TestFailoverFromAProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("programs are no relays on Windows; the test runs on Linux")
	}
	is := is.New(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "relay")
	is.NoErr(os.WriteFile(path, []byte("#!/bin/sh\ncat >"+dir+"/sent\n[ ! -e "+dir+"/broken ]\n"), 0o755))
	next := &smtptest.Relay{}
	c := config(relays{"next": next}, "exec:"+path+", next.test:25")
	c.Log = slog.New(slog.DiscardHandler)
	d := newDelivery(t, c)
	defer d.Close()
	r, _ := send(t, d, messageTo("b@example.org"))
	is.Equal(r.Outcomes[0].Err, nil)
	is.Equal(r.Outcomes[0].Relay, "exec:"+path)
	sent, err := os.ReadFile(dir + "/sent")
	is.NoErr(err)
	is.Equal(string(sent), content)
	is.NoErr(os.WriteFile(dir+"/broken", nil, 0o600))
	r, s := send(t, d, messageTo("b@example.org"))
	is.Equal(r.Outcomes[0].Err, nil)
	is.Equal(names(s.Down), []string{"exec:" + path})
	is.Equal(len(next.Messages()), 1)
	is.True(d.Health(0)[0].Err != nil)
}

// A domain is the same in Unicode and in ASCII.
func TestRoutesOfInternationalDomains(t *testing.T) {
	is := is.New(t)
	c := config(nil, "last.test:25")
	c.Routes = append([]Route{{Sender: "@bücher.example"}, {Sender: "to:@xn--bcher-kva.example"}}, c.Routes...)
	for _, domain := range []string{"bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "XN--bcher-kva.example"} {
		is.Equal(c.RouteOf()("jörg@"+domain), 0)
		route, ok := c.RouteTo()("jörg@" + domain)
		is.True(ok)
		is.Equal(route, 1)
	}
	is.Equal(c.RouteOf()("bücher.example@example.org"), 2)
}

// A program gets as many recipients as the settings allow. The others are left for the next transaction.
func TestProgramGetsLimitedRecipients(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("programs are no relays on Windows; the test runs on Linux")
	}
	is := is.New(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "relay")
	is.NoErr(os.WriteFile(path, []byte("#!/bin/sh\ncat >/dev/null\ncat <&3 >"+dir+"/envelope\n"), 0o755))
	c := config(nil, "exec:"+path)
	c.Log = slog.New(slog.DiscardHandler)
	c.Routes[0].SMTP.Recipients = 2
	d := newDelivery(t, c)
	defer d.Close()
	tx := messageTo("a@example.org", "b@example.org", "c@example.org")
	tx.Notify, tx.ORcpt = []string{"", "NEVER", "SUCCESS"}, []string{"", "", "rfc822;c@example.org"}
	r, s := send(t, d, tx)
	is.NoErr(r.Outcomes[0].Err)
	is.NoErr(r.Outcomes[1].Err)
	is.Equal(r.Outcomes[2].Fault, attempt.None)
	is.True(r.Outcomes[2].Err != nil)
	is.Equal(len(s.Down), 0)
	text, err := os.ReadFile(dir + "/envelope")
	is.NoErr(err)
	is.True(strings.Contains(string(text), `"to":["a@example.org","b@example.org"]`))
	is.True(strings.Contains(string(text), `"notify":["","NEVER"]`))
	is.True(!strings.Contains(string(text), "c@example.org"))
}

func TestSlots(t *testing.T) {
	is := is.New(t)
	c := config(nil, "")
	block := make(chan bool)
	c.Transport = transport(func(*Transaction) []attempt.Outcome { <-block; return nil })
	d := newDelivery(t, c)
	is.Equal(d.Slots(0), Slots{Any: 4, Large: 2})
	small := offer(t, d, 0, messageTo("b@example.org"))
	is.Equal(d.Slots(0), Slots{Any: 3, Large: 2})
	var large []<-chan Result
	for range 2 {
		tx := messageTo("b@example.org")
		tx.Size = 1 << 20
		large = append(large, offer(t, d, 0, tx))
	}
	is.Equal(d.Slots(0), Slots{Any: 1, Large: 0, LargeBusy: 2}) // a large message leaves connections for small ones
	is.Equal(d.Free(), 1)
	lease := d.Take(0, time.Now())
	is.Equal(d.Slots(0).Any, 1) // a slot is used from Begin on
	lease.Release()
	close(block)
	for _, results := range append(large, small) {
		r := <-results
		d.Settle(&r, time.Time{}, time.Now())
	}
	is.Equal(d.Slots(0), Slots{Any: 4, Large: 2})
	c.Concurrency = 1
	is.Equal(newDelivery(t, c).Slots(0), Slots{Any: 1, Large: 1}) // one connection is enough for a large message
}

// transport is a function as a Transport.
type transport func(t *Transaction) []attempt.Outcome

func (f transport) Deliver(_ context.Context, t *Transaction) []attempt.Outcome { return f(t) }

func TestTransportInPlaceOfRelays(t *testing.T) {
	is := is.New(t)
	c := config(nil, "one.test:25,two.test:25")
	c.Routes = append([]Route{{Sender: "@x.org", Addr: "three.test:25"}}, c.Routes...)
	var got []*Transaction
	c.Transport = transport(func(t *Transaction) []attempt.Outcome {
		got = append(got, t)
		return []attempt.Outcome{{Relay: "mine"}, {Fault: attempt.Recipient, Err: errors.New("no"), Permanent: true}}
	})
	d := newDelivery(t, c)
	is.Equal(c.RouteOf()("a@x.org"), 1) // a function transport is the last route, for all mail
	r := <-offer(t, d, 1, messageTo("b@example.org", "c@example.org"))
	d.Settle(&r, time.Time{}, time.Now())
	is.Equal(len(got), 1) // called once
	is.Equal(got[0].Name, "m")
	is.Equal(r.Outcomes[0], attempt.Outcome{Relay: "mine"})
	is.Equal(r.Outcomes[1].Relay, "transport") // the default name of the transport
	is.True(r.Outcomes[1].Permanent)
	is.Equal(d.Health(1), []Health{{Name: "transport", Route: 1, Limit: 4}})
	d.Cut(errors.New("stop")) // without effect: a transport ends with its context
	d.Close()
}

// A missing result is a temporary failure. A surplus result is ignored.
func TestMissingResults(t *testing.T) {
	for name, row := range map[string]struct {
		deliver  func(*Transaction) []attempt.Outcome
		accepted int
	}{
		"none":       {func(*Transaction) []attempt.Outcome { return nil }, 0},
		"one of two": {func(*Transaction) []attempt.Outcome { return make([]attempt.Outcome, 1) }, 1},
		"three":      {func(*Transaction) []attempt.Outcome { return make([]attempt.Outcome, 3) }, 2},
		"Goexit":     {func(*Transaction) []attempt.Outcome { runtime.Goexit(); return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			c := config(nil, "")
			c.Transport = transport(row.deliver)
			d := newDelivery(t, c)
			result, s := send(t, d, messageTo("b@example.org", "c@example.org"))
			is.Equal(len(result.Outcomes), 2)
			for i, o := range result.Outcomes {
				is.Equal(o.Err == nil, i < row.accepted)
				if o.Err != nil {
					is.Equal(o.Fault, attempt.Message)
					is.True(!o.Permanent)
					is.Equal(o.Err.Error(), "the transport gave no result")
				}
			}
			is.Equal(len(s.Down), 0)
			is.Equal(d.Slots(0).Any, 4) // no slot is in use
		})
	}
}

// A Transport that reports relay trouble is not used for a while, like a relay.
func TestTransportPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		c := config(nil, "")
		c.Transport = transport(func(*Transaction) []attempt.Outcome {
			return []attempt.Outcome{{Fault: attempt.Relay, Op: attempt.OpDial, Err: errors.New("away")}}
		})
		d := newDelivery(t, c)
		_, s := send(t, d, messageTo("b@example.org"))
		is.Equal(names(s.Down), []string{"transport"})
		is.Equal(d.Wait(0, time.Now()), breaker.First)
		is.Equal(d.Trouble(0).Error(), "transport: away")
	})
}

func TestRouteOf(t *testing.T) {
	is := is.New(t)
	c := Config{Routes: []Route{{Sender: "@x.org"}, {Sender: "Ann@x.org"}, {Sender: "*"}, {}}}
	for sender, want := range map[string]int{"bob@x.org": 0, "ann@X.org": 1, "c@y.org": 2} {
		is.Equal(c.RouteOf()(sender), want)
	}
	c.Routes = c.Routes[3:]
	is.Equal(c.RouteOf()("bob@x.org"), 0)
}

func TestNewRefusesBadRoutes(t *testing.T) {
	for name, routes := range map[string][]Route{
		"sender twice":  {{Sender: "a@x.org", Addr: "a:25"}, {Sender: "A@x.org", Addr: "b:25"}, {Addr: "c:25"}},
		"no sender":     {{Addr: "a:25"}, {Addr: "c:25"}},
		"no address":    {{Addr: ""}},
		"second is bad": {{Addr: "a:25,b:no port"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(nil, "")
			c.Routes = routes
			if _, err := New(c); err == nil {
				t.Error("no error")
			}
		})
	}
}

// Cut ends all attempts. An attempt that the relay did not see is not counted.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		r := relays{"one": {Reply: func(verb, _ string) string {
			if verb == "CONNECT" {
				return "hang"
			}
			return ""
		}}}
		d := newDelivery(t, config(r, "one.test:25"))
		stopping := errors.New("stopping")
		results := offer(t, d, 0, messageTo("b@example.org"))
		synctest.Wait()
		d.Cut(fmt.Errorf("%w: %w", stopping, context.Canceled))
		result := <-results
		is.True(errors.Is(result.Outcomes[0].Err, stopping))
		is.True(result.Outcomes[0].Withdrawn)
		is.Equal(result.Outcomes[0].Fault, attempt.None)
		s := d.Settle(&result, time.Time{}, time.Now())
		is.Equal(len(s.Down), 0)
		d.Close()
	})
}

// An attempt ends with its context. That says nothing about the relay.
func TestAttemptEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		only := &script{answers: map[string]string{"DIAL": "connection refused"}}
		d := newDelivery(t, config(relays{"one": {Reply: only.reply}}, "one.test:25"))
		send(t, d, messageTo("b@example.org"))
		only.set("DIAL", "")
		only.set("MAIL", "hang")
		time.Sleep(breaker.First)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lease := d.Take(0, time.Now())
		lease.Begin(false)
		results := make(chan Result, 1)
		lease.Offer(ctx, messageTo("b@example.org"), func(r Result) { results <- r })
		began := time.Now()
		result := <-results
		is.Equal(time.Since(began), time.Second)
		is.Equal(result.Outcomes[0].Fault, attempt.None)
		is.True(errors.Is(result.Outcomes[0].Err, context.DeadlineExceeded))
		s := d.Settle(&result, time.Time{}, time.Now())
		is.Equal(len(s.Up)+len(s.Down), 0)
		is.True(d.Trouble(0) != nil)                      // it is unknown whether the relay can be used
		is.Equal(d.Wait(0, time.Now()), time.Duration(0)) // the next message may probe the relay
		d.Close()
	})
}

// An undecided refusal counts as an attempt only if the relay accepted other mail since the previous attempt.
func TestUndecidedRefusalCountsByEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		answers := &script{answers: map[string]string{"END": "451 4.7.1 try again later"}}
		d := newDelivery(t, config(relays{"one": {Reply: answers.reply}}, "one.test:25"))
		defer d.Close()
		try := func(last time.Time) attempt.Outcome {
			r := <-offer(t, d, 0, messageTo("b@example.org"))
			r.Lease.Last = last
			d.Settle(&r, time.Time{}, time.Now())
			time.Sleep(time.Minute)
			return r.Outcomes[0]
		}
		first := time.Now()
		is.True(try(time.Time{}).Uncounted) // the first
		is.True(try(first).Uncounted)       // the relay may refuse everything
		answers.set("END", "")
		is.NoErr(try(time.Time{}).Err)
		answers.set("END", "451 4.7.1 try again later")
		is.True(!try(first).Uncounted) // other mail was accepted since
		is.True(try(time.Now()).Uncounted)
		answers.set("END", "454 Throttling failure")
		is.True(try(first).Uncounted) // the reply is about the amount of mail
		is.NoErr(d.Trouble(0))
	})
}

// A relay that refuses mail because of its own trouble pauses, and the next relay is used.
func TestTroubleOfTheRelayIsReasonForFailover(t *testing.T) {
	for _, answer := range []string{
		"END 550 5.4.5 Daily user sending limit exceeded", "MAIL 452 4.3.1 Insufficient system storage",
		"RCPT 451 4.3.0 Temporary lookup failure", "MAIL 550 Authentication is required for relay",
		"RCPT 504 5.5.2 <host>: Helo command rejected: need fully-qualified hostname",
	} {
		t.Run(answer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				verb, text, _ := strings.Cut(answer, " ")
				first := &script{answers: map[string]string{verb: text}}
				r := relays{"one": {Reply: first.reply}, "two": {}}
				d := newDelivery(t, config(r, "one.test:25,two.test:25"))
				defer d.Close()
				result, s := send(t, d, messageTo("b@example.org"))
				is.NoErr(result.Outcomes[0].Err)
				is.Equal(result.Outcomes[0].Relay, "two.test:25")
				is.Equal(names(s.Down), []string{"one.test:25"})
			})
		})
	}
}

func TestSameRoutes(t *testing.T) {
	is := is.New(t)
	routes := func(senders ...string) (c Config) {
		for _, s := range append(senders, "") {
			c.Routes = append(c.Routes, Route{Sender: s})
		}
		return c
	}
	one := routes("@a.example", "to:@b.example")
	is.True(one.SameRoutes(routes("@a.example", "to:@b.example")))
	is.True(!one.SameRoutes(routes("to:@b.example", "@a.example"))) // the first match counts
	is.True(!one.SameRoutes(routes("@a.example")))
	other := routes("@a.example", "to:@b.example")
	other.Routes[0].Addr = "mail.example.com:25"
	is.True(one.SameRoutes(other)) // another relay
	other.Transport = transport(func(*Transaction) []attempt.Outcome { return nil })
	is.True(!one.SameRoutes(other)) // which takes all mail
}
