package smtppool

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// hosts is a zone with addresses of one host.
type hosts struct {
	zone
	ips []string
}

func (h hosts) LookupNetIP(_ context.Context, network, _ string) (ips []netip.Addr, err error) {
	for _, s := range h.ips {
		ip := netip.MustParseAddr(s)
		if network == "ip" || ip.Is4() == (network == "ip4") {
			ips = append(ips, ip)
		}
	}
	if len(ips) == 0 {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return ips, nil
}

// An atlas has a relay for each address. Other addresses refuse the connection or do not answer.
type atlas struct {
	relays map[string]*smtptest.Relay
	silent string

	mu      sync.Mutex
	dialled []string
}

func (a *atlas) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	a.mu.Lock()
	a.dialled = append(a.dialled, addr)
	a.mu.Unlock()
	if addr == a.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if r := a.relays[addr]; r != nil {
		return r.Dial(ctx, network, addr)
	}
	return nil, errors.New("connection refused")
}

func (a *atlas) count(addr string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.dialled {
		if d == addr {
			n++
		}
	}
	return n
}

func at(t *testing.T, a *atlas, o Options, ips ...string) *Relay {
	o.Addr, o.Dial, o.Resolver, o.Concurrency = "relay.test:25", a.dial, hosts{ips: ips}, 1
	o.Client.LocalName = "me.example.com"
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

const (
	first  = "192.0.2.1:25"
	second = "192.0.2.2:25"
	third  = "[2001:db8::1]:25"
)

// After an error at one address before MAIL, the message is sent to the next address at once, and the next message is
// not sent to the bad address.
func TestNextAddressAtOnce(t *testing.T) {
	for name, bad := range map[string]*smtptest.Relay{
		"connection refused": nil,
		"421":                {Reply: replyTo("CONNECT", "421 4.3.2 busy|close")},
		"554":                {Reply: replyTo("CONNECT", "554 5.3.2 no|close")},
		"closed":             {Reply: replyTo("CONNECT", "close")},
		"silence":            {Reply: replyTo("CONNECT", "hang")},
		"EHLO refused":       {Reply: replyTo("EHLO", "421 4.3.2 no|close")},
		"host blocked": {Reply: func(verb, _ string) string {
			if verb == "EHLO" || verb == "HELO" {
				return "550 5.7.1 this host is blocked"
			}
			return ""
		}},
		"greeting without an end": {Reply: replyTo("CONNECT", "220-relay.test\r\n220-please wait|hang")},
		"521 to EHLO and HELO": {Reply: func(verb, _ string) string {
			if verb == "EHLO" || verb == "HELO" {
				return "521 5.3.2 this host accepts no mail|close"
			}
			return ""
		}},
		"HTTP":             {Reply: replyTo("CONNECT", "HTTP/1.1 400 Bad Request|close")},
		"STARTTLS refused": {Ext: []string{"STARTTLS"}, Reply: replyTo("STARTTLS", "454 4.7.0 TLS not available")},
		"TLS lost":         {Ext: []string{"STARTTLS"}, Reply: replyTo("STARTTLS", "220 go on|close")},
		"no STARTTLS":      {},
		"421 at MAIL":      {Reply: replyTo("MAIL", "421 4.3.2 no|close")},
		"closed at MAIL":   {Reply: replyTo("MAIL", "close")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				good := &smtptest.Relay{}
				o := Options{Client: smtpclient.Config{Timeout: time.Minute}}
				if name == "no STARTTLS" {
					cert, pool := smtptest.Certificate(t, "relay.test")
					good.Ext, good.TLS = []string{"STARTTLS"}, &tls.Config{Certificates: []tls.Certificate{cert}}
					o.Client.TLS, o.Client.TLSConfig = smtpclient.TLSStartTLS, &tls.Config{RootCAs: pool}
				}
				a := &atlas{relays: map[string]*smtptest.Relay{first: bad, second: good}}
				r := at(t, a, o, "192.0.2.1", "192.0.2.2")
				began := time.Now()
				is.Equal(offerTo(r, mail("a@x.org"))[0].Err, nil)
				is.True(time.Since(began) <= time.Minute) // at once, except after a silent relay
				r.Close()
				is.Equal(offerTo(r, mail("b@x.org"))[0].Err, nil)
				// the bad address is avoided (a lost connection may be the fault of PIPELINING)
				is.True(a.count(first) <= 2)
				is.Equal(len(good.Messages()), 2)
			})
		})
	}
}

func replyTo(verb, reply string) func(verb, arg string) string {
	return func(v, _ string) string {
		if v == verb {
			return reply
		}
		return ""
	}
}

// An address that does not answer delays the first message only.
func TestSlowAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		a := &atlas{relays: map[string]*smtptest.Relay{second: {}}, silent: third}
		r := at(t, a, Options{}, "2001:db8::1", "192.0.2.2")
		began := time.Now()
		is.Equal(offerTo(r, mail("a@x.org"))[0].Err, nil)
		is.Equal(time.Since(began), stagger)
		r.Close()
		began = time.Now()
		is.Equal(offerTo(r, mail("b@x.org"))[0].Err, nil)
		is.Equal(time.Since(began), time.Duration(0))
		r.Close()
		time.Sleep(2 * time.Second)
		is.Equal(offerTo(r, mail("c@x.org"))[0].Err, nil)
		is.Equal(a.count(third), 2) // tried again after a pause
	})
}

// Each address that fails pauses. If all addresses fail, the relay cannot be used.
func TestAllAddressesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		busy := func() *smtptest.Relay { return &smtptest.Relay{Reply: replyTo("MAIL", "421 4.3.2 no|close")} }
		a := &atlas{relays: map[string]*smtptest.Relay{first: busy(), second: busy()}}
		r := at(t, a, Options{}, "192.0.2.1", "192.0.2.2")
		e := offerTo(r, mail("a@x.org"))[0].Err
		is.Equal(e.Fault, attempt.Relay)
		is.Equal(a.count(first)+a.count(second), 2) // one attempt at each address
	})
}

func TestAddressFamily(t *testing.T) {
	for family, want := range map[string]string{"": third, "4": second, "6": third} {
		is := is.New(t)
		a := &atlas{relays: map[string]*smtptest.Relay{second: {}, third: {}}}
		r := at(t, a, Options{Family: family}, "2001:db8::1", "192.0.2.2")
		is.Equal(offerTo(r, mail("a@x.org"))[0].Err, nil)
		is.Equal(a.dialled, []string{want})
	}
}

func TestFamiliesAlternate(t *testing.T) {
	is := is.New(t)
	var ips []netip.Addr
	for s := range strings.FieldsSeq("2001:db8::1 2001:db8::2 192.0.2.1 2001:db8::3 192.0.2.2") {
		ips = append(ips, netip.MustParseAddr(s))
	}
	var got []string
	for _, ip := range alternate(ips) {
		got = append(got, ip.String())
	}
	is.Equal(got, []string{"2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"})
}

// After a refusal because of the missing PTR record of an IPv6 address, an IPv4 address is used. Without an IPv4
// address the refusal is final.
func TestNoPTR(t *testing.T) {
	is := is.New(t)
	gmail := "550-5.7.1 [2001:db8::9] Our system has detected that this message does\r\n" +
		"550 5.7.1 not meet IPv6 sending guidelines regarding PTR records and authentication."
	refuses := &smtptest.Relay{Reply: replyTo("END", gmail)}
	good := &smtptest.Relay{}
	a := &atlas{relays: map[string]*smtptest.Relay{second: good, third: refuses}}
	r := at(t, a, Options{}, "2001:db8::1", "192.0.2.2")
	for range 3 {
		is.Equal(offerTo(r, mail("a@x.org"))[0].Err, nil)
	}
	is.Equal(len(good.Messages()), 3)
	is.Equal(a.count(third), 1)
	r = at(t, a, Options{}, "2001:db8::1")
	e := offerTo(r, mail("a@x.org"))[0].Err
	is.True(e.Permanent)
}

// A relay may end each connection after a number of messages. After two such connections the pool ends the connections
// itself before that number.
func TestMessagesOnAConnectionAreLearnt(t *testing.T) {
	for name, end := range map[string]string{
		"421":       "421 4.7.0 Too many messages in this connection|close",
		"OpenSMTPD": "452 4.5.3 Too many recipients: Too many messages sent", // the connection stays open
		"451":       "451 4.7.0 Maximum number of messages per session reached",
		"450":       "450 Too many mails for this session, please reconnect",
	} {
		t.Run(name, func(t *testing.T) { testMessagesOnAConnection(t, end) })
	}
}

// testMessagesOnAConnection sends 100 messages to a relay that replies end to the eighth MAIL of each connection.
func testMessagesOnAConnection(t *testing.T, end string) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		var mu sync.Mutex
		seen, cut, connections := 0, 0, 0
		relay := &smtptest.Relay{Ext: ext, Reply: func(verb, _ string) string {
			mu.Lock()
			defer mu.Unlock()
			switch verb {
			case "CONNECT":
				seen = 0
				connections++
			case "MAIL":
				if seen++; seen > 7 {
					cut++
					return end
				}
			}
			return ""
		}}
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			// until all 100 messages wait: a connection that ends while idle shows no limit
			time.Sleep(time.Millisecond)
			return relay.Dial(ctx, network, addr)
		}
		r := newRelay(t, dial, 1)
		began := time.Now()
		is.Equal(len(failures(deliver(r, 100))), 0)
		is.True(eachOnce(relay, 100))
		is.Equal(time.Since(began), time.Duration(connections)*time.Millisecond) // no pause between connections
		is.Equal(cut, 2)                                                         // then the pool has learnt the limit
		pause := r.Use().SlowedUntil
		is.True(pause.IsZero())
	})
}

// If an extension is offered and broken, one connection is lost and no attempt is counted.
func TestBrokenExtensionIsRemembered(t *testing.T) {
	for name, relay := range map[string]*smtptest.Relay{
		"BDAT":       {Ext: modes["chunking"], Reply: replyTo("BDAT", "502 no")},
		"last BDAT":  {Ext: modes["chunking"], Reply: bdatRefused()},
		"PIPELINING": {Ext: modes["pipelining"], Reply: pipeliningRefused()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				r := newRelay(t, relay.Dial, 1)
				for range 10 {
					m := mail("a@x.org")
					m.Content = strings.NewReader(text)
					is.Equal(offerTo(r, m)[0].Err, nil)
					time.Sleep(time.Minute)
				}
				is.Equal(len(relay.Messages()), 10) // once each
				is.True(relay.Connections() <= 11)
			})
		})
	}
}

// bdatRefused returns a script that refuses the end of a message sent with BDAT.
func bdatRefused() func(verb, arg string) string {
	data := false
	return func(verb, _ string) string {
		switch {
		case verb == "MAIL":
			data = false
		case verb == "DATA":
			data = true
		case verb == "END" && !data:
			return "503 5.5.1 what"
		}
		return ""
	}
}

// pipeliningRefused returns a script that refuses RCPT on every other connection.
func pipeliningRefused() func(verb, arg string) string {
	connections := 0
	return func(verb, _ string) string {
		switch {
		case verb == "CONNECT":
			connections++
		case verb == "RCPT" && connections == 1:
			return "503 5.5.1 need MAIL before RCPT"
		}
		return ""
	}
}

// If a relay refuses to resume a TLS session, another connection without resumption is opened at once.
func TestResumptionRefused(t *testing.T) {
	for name, mode := range map[string]smtpclient.TLSMode{"STARTTLS": smtpclient.TLSStartTLS, "implicit": smtpclient.TLSImplicit} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			cert, pool := smtptest.Certificate(t, "relay.test")
			var resumed atomic.Int32
			relay := &smtptest.Relay{
				Ext: []string{"STARTTLS"}, Implicit: mode == smtpclient.TLSImplicit,
				TLS: &tls.Config{Certificates: []tls.Certificate{cert}, VerifyConnection: func(s tls.ConnectionState) error {
					if s.DidResume {
						resumed.Add(1)
						return errors.New("no resumption here")
					}
					return nil
				}},
			}
			addr := relay.Listen(t)
			r, err := New(Options{
				Addr: "relay.test:25", Concurrency: 1,
				Dial: func(ctx context.Context, network, _ string) (net.Conn, error) { return Dial(ctx, network, addr) },
				Client: smtpclient.Config{
					LocalName: "me.example.com", TLS: mode,
					TLSConfig: &tls.Config{RootCAs: pool}, Sessions: tls.NewLRUClientSessionCache(0),
				},
			})
			is.NoErr(err)
			for range 2 {
				is.Equal(offerTo(r, mail("a@x.org"))[0].Err, nil)
				r.Close()
			}
			is.Equal(resumed.Load(), int32(1)) // one resumption was tried
			is.Equal(relay.Connections(), 3)   // and repeated without resumption
		})
	}
}

func TestEndpointOrder(t *testing.T) {
	is := is.New(t)
	c, err := newConnector(Options{Addr: "relay.test:25", Resolver: hosts{ips: []string{"192.0.2.1", "192.0.2.2"}}})
	is.NoErr(err)
	order := func() (addrs []string) {
		all, err := c.endpoints(t.Context())
		is.NoErr(err)
		for _, e := range all {
			addrs = append(addrs, e.addr)
		}
		return addrs
	}
	is.Equal(order(), []string{first, second})
	all, err := c.endpoints(t.Context())
	is.NoErr(err)
	all[0].failed(errors.New("x"), time.Now())
	is.Equal(order(), []string{second, first}) // an address in its pause comes last
	is.True(c.other(time.Now()))
	all[0].worked()
	is.Equal(order(), []string{first, second})
	is.True(slices.Contains(order(), first))
}

// A limit for the messages on a connection is learnt after two connections, or after three if a message may have ended
// the connections.
func TestClosedConnectionsAreCounted(t *testing.T) {
	type ending struct {
		n    int
		sure bool
	}
	for name, tt := range map[string]struct {
		endings []ending
		want    int
	}{
		"one":                      {endings: []ending{{5, true}}},
		"two":                      {endings: []ending{{5, true}, {5, true}}, want: 5},
		"different":                {endings: []ending{{5, true}, {4, true}, {5, true}}},
		"without a message":        {endings: []ending{{0, true}, {0, true}, {0, true}}},
		"two, perhaps by messages": {endings: []ending{{5, false}, {5, false}}},
		"three":                    {endings: []ending{{5, false}, {5, false}, {5, false}}, want: 5},
		"the second is sure":       {endings: []ending{{5, false}, {5, true}}, want: 5},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var e endpoint
			for _, x := range tt.endings {
				e.closed(x.n, x.sure, noon)
			}
			is.Equal(e.most(noon), tt.want)
			is.Equal(e.most(after(learned)), 0) // the limit is forgotten
		})
	}
}
