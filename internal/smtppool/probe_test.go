package smtppool

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

func TestProbeGoesFromPlaceToPlace(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Ext: []string{"SIZE 1000"}, Reply: func(verb, arg string) string {
		if verb == "RCPT" && arg == "no@x.org" {
			return "550 5.1.1 no such user"
		}
		return ""
	}}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "down.test:25" {
			return nil, errors.New("no route to host")
		}
		return relay.Dial(ctx, network, addr)
	}
	z := zone{mx: []*net.MX{{Host: "down.test."}, {Host: "good.test."}, {Host: "unused.test."}}}
	r, err := New(Options{Addr: "mx:example.com", Dial: dial, Resolver: z, Client: smtpclient.Config{LocalName: "me.example.com"}})
	is.NoErr(err)
	letter := mail("a@x.org")
	letter.To = append(letter.To, "no@x.org")
	visits := r.Probe(t.Context(), letter)
	is.Equal(len(visits), 2)                                   // the third host is not tried
	is.Equal(visits[0].Addr, "down.test:25")                   // the first host cannot be reached
	is.Equal(visits[0].Err.Op, attempt.OpDial)                 // the error names the step
	is.Equal(visits[1].Remote, "192.0.2.1:25")                 // the address of the second host
	is.Equal(visits[1].Err, nil)                               // the probe succeeds
	is.Equal(visits[1].Survey.Offers, []string{"SIZE 1000"})   // the extensions of the relay
	is.Equal(visits[1].Results[0].Err, nil)                    // one recipient would be accepted
	is.Equal(visits[1].Results[1].Err.Reply.Enhanced, "5.1.1") // the other would be refused
	is.Equal(len(relay.Messages()), 0)                         // no message was sent
}

func TestProbeThatFails(t *testing.T) {
	is := is.New(t)
	cert, pool := smtptest.Certificate(t, "example.com")
	server := &tls.Config{Certificates: []tls.Certificate{cert}}
	relay := &smtptest.Relay{TLS: server, Ext: []string{"AUTH PLAIN", "STARTTLS"}, Reply: func(verb, _ string) string {
		if verb == "AUTH" {
			return "535 5.7.8 no"
		}
		return ""
	}}
	loopback := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return relay.Dial(ctx, network, "127.0.0.1:25")
	}
	o := Options{Addr: "mx:example.com", Dial: loopback, Resolver: zone{mx: []*net.MX{{Host: "a.test."}, {Host: "b.test."}}},
		Client: smtpclient.Config{LocalName: "me.example.com", TLSConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"},
			Auth: smtpclient.Credentials{User: "user", Mechanism: "PLAIN", Password: wrongPassword}.Auth()}}
	r, err := New(o)
	is.NoErr(err)
	visits := r.Probe(t.Context(), mail("a@x.org"))
	is.Equal(len(visits), 1)                      // a wrong password is not tried at other hosts
	is.Equal(visits[0].Err.Op, attempt.OpAuth)    // the login was refused
	is.Equal(visits[0].Survey.Mechanism, "PLAIN") // the mechanism of the login

	o.Resolver = zone{mx: []*net.MX{{Host: "."}}}
	r, err = New(o)
	is.NoErr(err)
	visits = r.Probe(t.Context(), mail("a@x.org"))
	is.Equal(len(visits), 1)
	is.Equal(visits[0].Addr, "")  // no host was found
	is.True(visits[0].Err != nil) // the error has the reason
	is.Equal(visits[0].Err.Op, attempt.OpDial)
}
