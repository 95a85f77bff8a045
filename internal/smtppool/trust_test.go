package smtppool

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// forged is a DNS under the control of an attacker: every host has the address ip.
type forged struct {
	zone
	ip string
}

func (f forged) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(f.ip)}, nil
}

// The configured address decides which host gets a login, never a reply of the DNS.
func TestLoginGoesToTheConfiguredRelay(t *testing.T) {
	srv := func(host string) zone {
		return zone{srv: map[string][]*net.SRV{"submission": {{Target: host, Port: 587}}}}
	}
	mx := zone{mx: []*net.MX{{Host: "evil.test."}}}
	const away, here = "192.0.2.1", "127.0.0.1"
	for name, tt := range map[string]struct {
		addr, ip string
		zone     zone
		tls      smtpclient.TLSMode
		names    string // names in the certificate, which is signed by a trusted authority; "-": no STARTTLS
		tlsName  string // the setting TLSName
		noCA     bool   // the authority is one of the system, not of a setting
		pin      bool
		login    bool
	}{
		"host, its certificate":            {addr: "a.test:25", ip: away, names: "a.test", login: true},
		"host, another certificate":        {addr: "a.test:25", ip: away, names: "evil.test"},
		"host, clear":                      {addr: "a.test:25", ip: away, names: "-"},
		"host, DNS says loopback":          {addr: "a.test:25", ip: here, names: "-"},
		"host, DNS says loopback, TLS off": {addr: "a.test:25", ip: here, names: "-", tls: smtpclient.TLSNone},
		"host, DNS says ::1":               {addr: "a.test:25", ip: "::1", names: "-"},
		"host, loopback, forged":           {addr: "a.test:25", ip: here, names: "evil.test", noCA: true},
		"localhost":                        {addr: "localhost:25", ip: here, names: "-", login: true},
		"LocalHost.":                       {addr: "LocalHost.:25", ip: here, names: "-", login: true},
		"localhost is elsewhere":           {addr: "localhost:25", ip: away, names: "-"},
		"localhost.evil.test":              {addr: "localhost.evil.test:25", ip: here, names: "-"},
		"loopback":                         {addr: "127.8.8.8:25", ip: "127.8.8.8", names: "-", login: true},
		"loopback, v6":                     {addr: "[::1]:25", ip: "::1", names: "-", login: true},
		"loopback, own certificate":        {addr: "127.0.0.1:25", ip: here, names: "x.test", noCA: true, login: true},
		"mx: of a literal":                 {addr: "mx:127.0.0.1", ip: here, names: "-", login: true},
		"mx: of localhost":                 {addr: "mx:localhost", ip: here, names: "-"},
		"mx":                               {addr: "mx:good.test", zone: mx, ip: away, names: "evil.test", noCA: true},
		"mx, loopback":                     {addr: "mx:good.test", zone: mx, ip: here, names: "-"},
		"mx, name":                         {addr: "mx:good.test", zone: mx, ip: away, names: "mail.good.test", tlsName: "mail.good.test", login: true},
		"mx, name, another certificate":    {addr: "mx:good.test", zone: mx, ip: away, names: "evil.test", tlsName: "mail.good.test"},
		"mx, CA":                           {addr: "mx:good.test", zone: mx, ip: away, names: "evil.test", login: true},
		"mx, pin":                          {addr: "mx:good.test", zone: mx, ip: away, names: "any.test", pin: true, login: true},
		"srv, inside":                      {addr: "srv:good.test", zone: srv("mail.good.test."), ip: away, names: "mail.good.test", login: true},
		"srv, inside, of the domain":       {addr: "srv:Good.test", zone: srv("mail.good.TEST."), ip: away, names: "good.test", login: true},
		"srv, inside, another":             {addr: "srv:good.test", zone: srv("mail.good.test."), ip: away, names: "evil.test"},
		"srv, outside":                     {addr: "srv:good.test", zone: srv("evil.test."), ip: away, names: "evil.test"},
		"srv, outside, of the domain":      {addr: "srv:good.test", zone: srv("host.test."), ip: away, names: "good.test", login: true},
		"srv, not inside":                  {addr: "srv:good.test", zone: srv("evilgood.test."), ip: away, names: "evilgood.test"},
		"srv, outside, name":               {addr: "srv:good.test", zone: srv("host.test."), ip: away, names: "host.test", tlsName: "host.test", login: true},
		"srv, inside, unknown authority":   {addr: "srv:good.test", zone: srv("mail.good.test."), ip: away, names: "mail.good.test", noCA: true},
		"srv, loopback":                    {addr: "srv:good.test", zone: srv("mail.good.test."), ip: here, names: "-"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			cert, pool := smtptest.Certificate(t, tt.names)
			relay := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}, Users: map[string]string{"user": "secret"}}
			if tt.names != "-" {
				relay.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
				relay.Ext = append(relay.Ext, "STARTTLS")
			}
			client := smtpclient.Config{LocalName: "me.example.com", TLS: tt.tls}
			password := func(context.Context, bool) (string, error) { return "secret", nil }
			client.Auth = smtpclient.Credentials{User: "user", Mechanism: "PLAIN", Password: password}.Auth()
			if !tt.noCA && !tt.pin {
				client.TLSConfig = &tls.Config{RootCAs: pool, ServerName: tt.tlsName}
			}
			if tt.pin {
				client.Pins = []string{pinOf(cert)}
			}
			o := Options{Addr: tt.addr, Dial: relay.Dial, Resolver: forged{tt.zone, tt.ip}, Client: client, Concurrency: 1}
			r, err := New(o)
			is.NoErr(err)
			accepted := offerTo(r, mail("a@x.org"))[0].Err == nil
			r.Probe(t.Context(), mail("a@x.org"))
			r.Close()
			said := strings.Join(relay.Commands(), "\n")
			is.Equal(strings.Contains(said, "AUTH"), tt.login)
			is.Equal(strings.Contains(said, "MAIL"), tt.login) // no mail is sent without the login
			is.Equal(accepted, tt.login)
		})
	}
}

// pinOf returns the pin of the key of a certificate.
func pinOf(cert tls.Certificate) string {
	sum := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	return "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
}
