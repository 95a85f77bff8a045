package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/breaker"
	"github.com/unbit/spoolgore/internal/smtppool"
)

func TestReconfigureKeepsRelaysWithTheSameSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		down := &script{answers: map[string]string{"DIAL": "connection refused"}}
		r := relays{"one": {}, "two": {Reply: down.reply}, "three": {}}
		c := config(r, "two.test:25,one.test:25")
		d := newDelivery(t, c)
		defer d.Close()
		send(t, d, messageTo("b@example.org"))
		before := d.Health(0)
		is.True(before[0].Err != nil)

		c.Routes[0].Addr = "three.test:25,one.test:25 , two.test:25"
		c.Concurrency = 7
		kept, ended, err := d.Reconfigure(c)
		is.NoErr(err)
		is.Equal([]int{kept, ended}, []int{2, 0})
		after := d.Health(0)
		is.Equal(len(after), 3)
		is.Equal(after[0].Name, "three.test:25") // the new order
		is.Equal(after[2], before[0])            // the pause goes on
		c.Routes[0].Addr = "one.test:25"
		kept, ended, err = d.Reconfigure(c)
		is.NoErr(err)
		is.Equal([]int{kept, ended}, []int{1, 2})
		synctest.Wait() // until the connection is idle
		send(t, d, messageTo("b@example.org"))
		is.Equal(r["one"].Connections(), 1) // the earlier connection was used
		is.Equal(len(r["one"].Messages()), 2)
	})
}

func TestReconfigureChangesTheNumberOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		c := config(relays{"one": {}}, "one.test:25")
		c.Concurrency = 30
		d := newDelivery(t, c)
		defer d.Close()
		is.Equal(d.Health(0)[0].Limit, 30)
		c.Concurrency = 3
		kept, _, err := d.Reconfigure(c)
		is.NoErr(err)
		is.Equal(kept, 1)
		is.Equal(d.Health(0)[0].Limit, 3)
		is.Equal(d.Slots(0).Any, 3)
	})
}

// A transaction that has begun ends with the old relay. Its failure does not affect the new relay.
func TestReconfigureLetsTransactionsEnd(t *testing.T) {
	for name, row := range map[string]struct {
		answer string // reply to the content
		err    bool
	}{"accepted": {"", false}, "lost": {"close", true}, "closing": {"421 4.3.2 closing", true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				old := func(verb, _ string) string {
					if verb == "END" {
						time.Sleep(time.Minute)
						return row.answer
					}
					return ""
				}
				r := relays{"old": {Reply: old}, "new": {}}
				c := config(r, "old.test:25")
				d := newDelivery(t, c)
				results := offer(t, d, 0, messageTo("b@example.org"))
				time.Sleep(time.Second)
				is.Equal(d.Slots(0).Any, d.Health(0)[0].Limit-1)

				c.Routes = []Route{{Addr: "new.test:25"}}
				kept, ended, err := d.Reconfigure(c)
				is.NoErr(err)
				is.Equal([]int{kept, ended}, []int{0, 1})
				slots := d.Slots(0).Any // the new route is not in use
				is.Equal(slots, d.Health(0)[0].Limit)
				fresh, _ := send(t, d, messageTo("c@example.org"))
				is.Equal(fresh.Outcomes[0].Relay, "new.test:25") // at once

				result := <-results
				is.Equal(result.Outcomes[0].Relay, "old.test:25")
				is.Equal(result.Outcomes[0].Err != nil, row.err)
				s := d.Settle(&result, time.Time{}, time.Now())
				is.Equal(len(s.Down)+len(s.Up), 0)
				is.True(d.Slots(0).Any >= slots) // the transaction counts for the old route
				is.NoErr(d.Trouble(0))
				d.Close()
				is.Equal(len(r["new"].Messages()), 1)
				commands := r["old"].Commands()
				is.Equal(commands[len(commands)-1] == "QUIT", !row.err)
			})
		})
	}
}

// A message that the relay has not begun is withdrawn: no attempt is counted, and the relay has not failed.
func TestReconfigureWithdrawsOffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		r := relays{"silent": {Reply: func(verb, _ string) string {
			if verb == "CONNECT" {
				return "hang"
			}
			return ""
		}}, "new": {}}
		c := config(r, "silent.test:25")
		d := newDelivery(t, c)
		results := offer(t, d, 0, messageTo("b@example.org"))
		time.Sleep(time.Second)
		c.Routes = []Route{{Addr: "new.test:25"}}
		_, _, err := d.Reconfigure(c)
		is.NoErr(err)
		result := <-results
		is.True(errors.Is(result.Outcomes[0].Err, errRetired))
		is.True(result.Outcomes[0].Withdrawn)
		is.Equal(result.Outcomes[0].Fault, attempt.None)
		is.Equal(len(d.Settle(&result, time.Time{}, time.Now()).Down), 0)
		d.Close() // ends the retired relay, too
	})
}

// The trouble of a replaced relay is not the trouble of the new relay, even with the same address.
func TestReconfigureForgetsTheTroubleOfAnOldRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		only := &script{answers: map[string]string{"EHLO": "421 4.3.2 busy", "HELO": "421 4.3.2 busy"}}
		c := config(relays{"one": {Reply: only.reply}}, "one.test:25")
		d := newDelivery(t, c)
		send(t, d, messageTo("b@example.org"))
		is.True(d.Trouble(0) != nil)
		time.Sleep(breaker.First)
		results := offer(t, d, 0, messageTo("b@example.org")) // fails after the change
		c.Routes = []Route{{Addr: "one.test:25", SMTP: smtppool.Settings{NoPipelining: true}}}
		_, ended, err := d.Reconfigure(c)
		is.NoErr(err)
		is.Equal(ended, 1)
		is.NoErr(d.Trouble(0))
		result := <-results
		is.Equal(len(d.Settle(&result, time.Time{}, time.Now()).Down), 0)
		is.NoErr(d.Trouble(0))
		only.set("EHLO", "")
		result, _ = send(t, d, messageTo("b@example.org"))
		is.NoErr(result.Outcomes[0].Err)
		d.Close()
	})
}

func TestReconfigureWithAnErrorChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		r := relays{"one": {}, "two": {}}
		c := config(r, "one.test:25")
		d := newDelivery(t, c)
		defer d.Close()
		send(t, d, messageTo("b@example.org"))
		for _, bad := range []string{"two.test:25,no port", "one.test:25,:::"} {
			synctest.Wait() // until the connection is idle: otherwise the next message opens another connection
			changed := c
			changed.Routes = []Route{{Addr: bad}}
			_, _, err := d.Reconfigure(changed)
			is.True(err != nil)
			is.Equal(len(d.Health(0)), 1)
			result, _ := send(t, d, messageTo("b@example.org"))
			is.Equal(result.Outcomes[0].Relay, "one.test:25")
		}
		is.Equal(r["one"].Connections(), 1)
		kept, ended, err := d.Reconfigure(c)
		is.NoErr(err)
		is.Equal([]int{kept, ended}, []int{1, 0})
	})
}

// A route that keeps its relays goes on counting its transactions.
func TestReconfigureCountsWhatIsUnderWay(t *testing.T) {
	is := is.New(t)
	c := config(nil, "")
	block := make(chan bool)
	var mine Transport = &blocking{block}
	c.Transport = mine
	d := newDelivery(t, c)
	results := offer(t, d, 0, messageTo("b@example.org"))
	kept, _, err := d.Reconfigure(c)
	is.NoErr(err)
	is.Equal(kept, 1)
	is.Equal(d.Slots(0).Any, 3)
	close(block)
	result := <-results
	d.Settle(&result, time.Time{}, time.Now())
	is.Equal(d.Slots(0).Any, 4)
}

// blocking is a Transport that accepts every message once block is closed.
type blocking struct{ block chan bool }

// Deliver accepts t.
func (b *blocking) Deliver(_ context.Context, t *Transaction) []attempt.Outcome {
	<-b.block
	return make([]attempt.Outcome, len(t.To))
}

func TestSettingsWithoutAVersion(t *testing.T) {
	is := is.New(t)
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	plain := settings{addr: "a:1", smtp: smtppool.Settings{User: "u", Password: "p", TLSConfig: tlsConfig}}
	is.True(plain.same(plain)) // every setting can be compared
	other := plain
	other.smtp.TLSConfig = tlsConfig.Clone()
	is.True(!plain.same(other)) // the system's authorities may differ
	other = plain
	other.smtp.Secret = func(context.Context, bool) (string, error) { return "", nil }
	is.True(!other.same(other)) // the secret is unknown
	mine := &blocking{}
	is.True(settings{transport: mine}.same(settings{transport: mine}))
	is.True(!settings{transport: mine}.same(settings{transport: &blocking{}}))
	is.True(!settings{transport: transport(nil)}.same(settings{transport: transport(nil)})) // a function
}

// TestSettingsThatAreTheSame changes one field at a time.
func TestSettingsThatAreTheSame(t *testing.T) {
	is := is.New(t)
	secret := func(context.Context, bool) (string, error) { return "", nil }
	full := func() settings {
		return settings{sender: "@a", addr: "a:1", timeout: 1, localName: "me", smtp: smtppool.Settings{
			User: "u", Password: "p", Mechanism: "PLAIN", TLS: "tls", Pins: []string{"a"}, Window: 1, Version: "1",
			Secret: secret, Auth: func(string) sasl.Client { return nil },
			TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		}}
	}
	is.True(full().same(full())) // settings with functions are the same if Version is
	fields := reflect.TypeFor[smtppool.Settings]()
	for i := range fields.NumField() {
		other := full()
		switch f := reflect.ValueOf(&other.smtp).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int:
			f.SetInt(9)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"b"}))
		default: // fields that Version stands for
			continue
		}
		if full().same(other) || other.same(full()) {
			t.Errorf("Settings.%s makes no difference", fields.Field(i).Name)
		}
	}
	fields = reflect.TypeFor[settings]()
	changes := map[string]func(*settings){
		"sender":    func(s *settings) { s.sender = "" },
		"addr":      func(s *settings) { s.addr = "a:2" },
		"smtp":      func(s *settings) { s.smtp.User = "x" },
		"timeout":   func(s *settings) { s.timeout = 2 },
		"localName": func(s *settings) { s.localName = "" },
		"tls":       func(s *settings) { s.tls = &tls.Config{MinVersion: tls.VersionTLS13} },
		"transport": func(s *settings) { s.transport = transport(nil) },
	}
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		change, ok := changes[name]
		if !ok {
			t.Errorf("no test of %s", name)
			continue
		}
		other := full()
		change(&other)
		if full().same(other) || other.same(full()) {
			t.Errorf("%s makes no difference", name)
		}
	}
}
