package smtppool

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

func TestParseAddress(t *testing.T) {
	tcp := func(addr, host string) address {
		return address{place: place{network: "tcp", addr: addr, host: host, local: isLocal(host)}}
	}
	secure := func(addr, host string) address {
		a := tcp(addr, host)
		a.tls = true
		return a
	}
	lmtp := func(a address) address {
		a.lmtp = true
		return a
	}
	socket := lmtp(address{place: place{network: "unix", addr: "/run/lmtp", host: "localhost", local: true}})
	for addr, want := range map[string]address{
		"mail.example.com:25":         tcp("mail.example.com:25", "mail.example.com"),
		"mail.example.com:465":        tcp("mail.example.com:465", "mail.example.com"),
		"mail.example.com:submission": tcp("mail.example.com:submission", "mail.example.com"),
		"[::1]:25":                    tcp("[::1]:25", "::1"),
		"192.0.2.1:25":                tcp("192.0.2.1:25", "192.0.2.1"),
		"smtp://mail.example.com":     tcp("mail.example.com:25", "mail.example.com"),
		"SMTP://mail.example.com:587": tcp("mail.example.com:587", "mail.example.com"),
		"smtp://mail.example.com/":    tcp("mail.example.com:25", "mail.example.com"),
		"smtp://[::1]":                tcp("[::1]:25", "::1"),
		"smtp://[::1]:587":            tcp("[::1]:587", "::1"),
		"smtps://mail.example.com":    secure("mail.example.com:465", "mail.example.com"),
		"smtps://mail.example.com:26": secure("mail.example.com:26", "mail.example.com"),
		"lmtp://localhost:24":         lmtp(tcp("localhost:24", "localhost")),
		"lmtp:localhost:24":           lmtp(tcp("localhost:24", "localhost")),
		"lmtp:[::1]:24":               lmtp(tcp("[::1]:24", "::1")),
		"lmtp+unix:///run/lmtp":       socket,
		"lmtp:/run/lmtp":              socket,
		"mx:example.com":              {mx: "example.com"},
		"srv:example.com":             {srv: "example.com"},
		"mx:25":                       tcp("mx:25", "mx"), // a host with that name
		"lmtp:24":                     tcp("lmtp:24", "lmtp"),

		"":                              {},
		":25":                           {},
		"mail.example.com":              {},
		"mail.example.com:":             {},
		"mail.example.com:0":            {},
		"mail.example.com:65536":        {},
		"mail.example.com:nosuchport":   {},
		"mail example.com:25":           {},
		"smtp://":                       {},
		"smtp://mail.example.com/x":     {},
		"http://mail.example.com":       {},
		"lmtp://localhost":              {},
		"lmtp+unix://":                  {},
		"lmtp+unix:///":                 {},
		"mx:":                           {},
		"mx:.":                          {},
		"mx:example.com:25":             {},
		"srv://example.com":             {},
		"smtp://user:secret@mail.x.org": {},
	} {
		t.Run(addr, func(t *testing.T) {
			is := is.New(t)
			a, err := parseAddress(addr)
			is.Equal(a, want)
			is.Equal(err == nil, want != address{})                         // an error comes without an address
			is.True(err == nil || !strings.Contains(err.Error(), "secret")) // and without a password
		})
	}
}

func TestName(t *testing.T) {
	is := is.New(t)
	r, err := New(Options{Addr: "srv:example.com"})
	is.NoErr(err)
	is.Equal(r.Name(), "srv:example.com") // the name as configured
	_, err = New(Options{Addr: "nonsense"})
	is.True(err != nil)
}

// A zone resolves names of one domain, example.com.
type zone struct {
	mx  []*net.MX
	srv map[string][]*net.SRV // by service
	err error
}

func (z zone) LookupMX(context.Context, string) ([]*net.MX, error) {
	if z.err == nil && z.mx == nil {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return z.mx, z.err
}

func (z zone) LookupSRV(_ context.Context, service, _, _ string) (string, []*net.SRV, error) {
	if z.err == nil && z.srv[service] == nil {
		return "", nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return "", z.srv[service], z.err
}

func TestPlaces(t *testing.T) {
	broken := errors.New("server failure")
	for name, tt := range map[string]struct {
		addr string
		zone zone
		want string // addresses; an s before an address means TLS from the first byte
		err  string
	}{
		"a host":        {addr: "x.org:25", want: "x.org:25"},
		"mx":            {addr: "mx:example.com", zone: zone{mx: []*net.MX{{Host: "b.x.org."}, {Host: "a.x.org."}}}, want: "b.x.org:25 a.x.org:25"},
		"mx, partly":    {addr: "mx:example.com", zone: zone{mx: []*net.MX{{Host: "a.x.org."}}, err: broken}, want: "a.x.org:25"},
		"no mx":         {addr: "mx:example.com", want: "example.com:25"},
		"literal":       {addr: "mx:192.0.2.1", zone: zone{err: broken}, want: "192.0.2.1:25"},
		"null mx":       {addr: "mx:example.com", zone: zone{mx: []*net.MX{{Host: "."}}}, err: "takes no mail"},
		"mx unknown":    {addr: "mx:example.com", zone: zone{err: broken}, err: "server failure"},
		"submission":    {addr: "srv:example.com", zone: zone{srv: map[string][]*net.SRV{"submission": {{Target: "a.x.org.", Port: 587}}}}, want: "a.x.org:587"},
		"both":          {addr: "srv:example.com", zone: zone{srv: map[string][]*net.SRV{"submission": {{Target: "a.x.org.", Port: 587}}, "submissions": {{Target: "a.x.org.", Port: 465}, {Target: "b.x.org", Port: 4650}}}}, want: "s:a.x.org:465 s:b.x.org:4650 a.x.org:587"},
		"not supported": {addr: "srv:example.com", zone: zone{srv: map[string][]*net.SRV{"submission": {{Target: "."}}}}, err: "has no SRV"},
		"no srv":        {addr: "srv:example.com", err: "has no SRV"},
		"srv unknown":   {addr: "srv:example.com", zone: zone{err: broken}, err: "server failure"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			a, err := parseAddress(tt.addr)
			is.NoErr(err)
			places, err := a.places(t.Context(), tt.zone)
			is.True((err == nil) == (tt.err == ""))
			is.True(err == nil || strings.Contains(err.Error(), tt.err)) // with the reason
			var got []string
			for _, p := range places {
				want, _, _ := net.SplitHostPort(p.addr)
				if a.srv != "" { // the addresses come from SRV records
					want = "example.com"
				}
				is.Equal(p.host, want) // the name in the certificate
				if p.tls {
					p.addr = "s:" + p.addr
				}
				got = append(got, p.addr)
			}
			is.Equal(strings.Join(got, " "), tt.want)
		})
	}
}

func TestImplicitTLS(t *testing.T) {
	for _, tt := range []struct {
		addr string
		mode smtpclient.TLSMode
		want bool
	}{
		{"relay.test:465", smtpclient.TLSAuto, true},
		{"relay.test:465", smtpclient.TLSNone, false},
		{"relay.test:465", smtpclient.TLSStartTLS, false},
		{"relay.test:25", smtpclient.TLSAuto, false},
		{"relay.test:25", smtpclient.TLSImplicit, true},
		{"smtp://relay.test:465", smtpclient.TLSAuto, true},
		{"smtps://relay.test:25", smtpclient.TLSAuto, true},
		{"smtps://relay.test", smtpclient.TLSNone, true},
	} {
		t.Run(tt.addr, func(t *testing.T) {
			is := is.New(t)
			relay := &smtptest.Relay{} // a relay without TLS
			r, err := New(Options{Addr: tt.addr, Dial: relay.Dial, Client: smtpclient.Config{LocalName: "me.example.com", TLS: tt.mode}})
			is.NoErr(err)
			err = nil
			if e := offerTo(r, mail("a@x.org"))[0].Err; e != nil && e.Code == 0 {
				err = e
			}
			starttls := tt.mode == smtpclient.TLSStartTLS
			// a TLS handshake with this relay fails
			is.Equal(err != nil, tt.want || starttls)
			// and no command is sent before
			is.Equal(!slices.Contains(relay.Commands(), "EHLO me.example.com"), tt.want)
			r.Close()
		})
	}
}

// All hosts are tried in order. If a host refuses the login, no other host is tried.
func TestPlacesInTurn(t *testing.T) {
	relay := &smtptest.Relay{}
	greeting := &smtptest.Relay{Reply: func(string, string) string { return "554 not here|close" }}
	z := zone{mx: []*net.MX{{Host: "down.test."}, {Host: "greets.test."}, {Host: "good.test."}, {Host: "unused.test."}}}
	var dialled []string
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = append(dialled, network+" "+addr)
		switch addr {
		case "down.test:25":
			return nil, errors.New("no route to host")
		case "greets.test:25":
			return greeting.Dial(ctx, network, addr)
		}
		return relay.Dial(ctx, network, addr)
	}
	is := is.New(t)
	r, err := New(Options{Addr: "mx:example.com", Dial: dial, Resolver: z, Client: smtpclient.Config{LocalName: "me.example.com"}, Concurrency: 1})
	is.NoErr(err)
	is.True(offerTo(r, mail("a@x.org"))[0].Err == nil)
	r.Close()
	is.Equal(strings.Join(dialled, ", "), "tcp down.test:25, tcp greets.test:25, tcp good.test:25")

	dialled, relay.Reply = nil, func(string, string) string { return "554 not here|close" }
	r.connector.resolver = zone{mx: []*net.MX{{Host: "good.test."}, {Host: "down.test."}}}
	e := offerTo(r, mail("a@x.org"))[0].Err
	is.True(e != nil && e.Op == attempt.OpDial)                    // the last error is returned
	is.True(strings.Contains(e.Error(), "down.test:25: no route")) // with the address
	r.Close()
}

func TestLoginRefusedEndsTheTry(t *testing.T) {
	is := is.New(t)
	cert, pool := smtptest.Certificate(t, "example.com")
	server := &tls.Config{Certificates: []tls.Certificate{cert}}
	relay := &smtptest.Relay{TLS: server, Ext: []string{"AUTH PLAIN", "STARTTLS"}, Reply: func(verb, _ string) string {
		if verb == "AUTH" {
			return "535 5.7.8 no"
		}
		return ""
	}}
	z := zone{mx: []*net.MX{{Host: "a.test."}, {Host: "b.test."}}}
	loopback := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return relay.Dial(ctx, network, "127.0.0.1:25")
	}
	r, err := New(Options{Addr: "mx:example.com", Dial: loopback, Resolver: z, Concurrency: 1,
		Client: smtpclient.Config{LocalName: "me.example.com", TLSConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"},
			Auth: smtpclient.Credentials{User: "user", Mechanism: "PLAIN", Password: wrongPassword}.Auth()}})
	is.NoErr(err)
	e := offerTo(r, mail("a@x.org"))[0].Err
	is.True(e != nil && e.Op == attempt.OpAuth)
	is.Equal(relay.Connections(), 1) // a wrong password is not tried at other hosts
	r.Close()
}

func TestLMTP(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{LMTP: true}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		is.Equal(network+" "+addr, "unix /run/lmtp")
		return relay.Dial(ctx, network, addr)
	}
	r, err := New(Options{Addr: "lmtp+unix:///run/lmtp", Dial: dial, Client: smtpclient.Config{LocalName: "me.example.com"}})
	is.NoErr(err)
	is.Equal(offerTo(r, mail("a@x.org"))[0].Err, nil)
	is.Equal(relay.Commands()[0], "LHLO me.example.com")
	r.Close()
}

func wrongPassword(context.Context, bool) (string, error) { return "wrong", nil }
