package smtpclient

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// serverTLS returns the TLS configuration of a relay with a certificate for hosts, and the pool for its clients.
func serverTLS(t *testing.T, hosts ...string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	cert, pool := smtptest.Certificate(t, hosts...)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, pool
}

func TestTLS(t *testing.T) {
	server, pool := serverTLS(t, "relay.test")
	trusted := &tls.Config{RootCAs: pool}
	anything := &tls.Config{InsecureSkipVerify: true}
	for _, test := range []struct {
		name   string
		offer  bool
		addr   string
		cfg    Config
		err    string // part of the error; "" for none
		secure bool
	}{
		{"offered", true, remote, Config{Host: "relay.test", TLSConfig: trusted}, "", true},
		{"name with a dot", true, remote, Config{Host: "relay.test.", TLSConfig: trusted}, "", true},
		{"name of its own", true, remote, Config{Host: "x", TLSConfig: &tls.Config{RootCAs: pool, ServerName: "relay.test"}}, "", true},
		{"not offered", false, remote, Config{Host: "relay.test", TLSConfig: trusted}, "", false},
		{"not wanted", true, remote, Config{TLS: TLSNone}, "", false},
		{"required", true, remote, Config{TLS: TLSStartTLS, Host: "relay.test", TLSConfig: trusted}, "", true},
		{"required, not offered", false, remote, Config{TLS: TLSStartTLS}, "does not offer STARTTLS", false},
		{"other name", true, remote, Config{Host: "other.test", TLSConfig: trusted}, "is for relay.test, not other.test", false},
		{"unknown authority", true, remote, Config{Host: "relay.test"}, "unknown authority", false},
		{"too old", true, remote, Config{Host: "relay.test", TLSConfig: &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}}, "tls", false},
		{"verification off", true, remote, Config{Host: "relay.test", TLSConfig: anything}, "", true},
		{"local", true, local, Config{Host: "127.0.0.1"}, "", true},
		{"local, required", true, local, Config{TLS: TLSStartTLS, Host: "127.0.0.1"}, "127.0.0.1", false},
		{"local, own roots", true, local, Config{Host: "localhost", TLSConfig: trusted}, "not localhost", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{TLS: server, Ext: []string{"SIZE"}}
			if test.offer {
				r.Ext = []string{"STARTTLS"}
			}
			c, err := open(t.Context(), r, test.addr, test.cfg)
			if test.err != "" {
				is.Equal(asError(err).Op, attempt.OpTLS)                            // the step is named
				is.True(strings.Contains(err.Error(), test.err))                    // with the reason
				is.True(!strings.Contains(strings.Join(r.Commands(), " "), "MAIL")) // no mail is sent without TLS
				return
			}
			is.NoErr(err) // set up
			got := c.Transact(t.Context(), letter("a@x.test"))[0]
			is.Equal(got.Err, nil)                     // accepted
			is.NoErr(c.Quit())                         // QUIT succeeds
			is.Equal(r.Messages()[0].TLS, test.secure) // with or without TLS
			is.Equal(got.TLS, map[bool]string{true: "TLS 1.3"}[test.secure])
		})
	}
}

func TestImplicitTLS(t *testing.T) {
	is := is.New(t)
	server, pool := serverTLS(t, "relay.test")
	r := &smtptest.Relay{TLS: server, Implicit: true}
	c, err := open(t.Context(), r, remote, Config{TLS: TLSImplicit, Host: "relay.test", TLSConfig: &tls.Config{RootCAs: pool}})
	is.NoErr(err)                                                     // set up
	is.Equal(c.Transact(t.Context(), letter("a@x.test"))[0].Err, nil) // accepted
	is.True(r.Messages()[0].TLS)                                      // over TLS
	_, err = open(t.Context(), r, local, Config{TLS: TLSImplicit, Host: "127.0.0.1"})
	is.Equal(asError(err).Op, attempt.OpTLS) // the certificate is verified on loopback, too
	_, err = open(t.Context(), &smtptest.Relay{}, remote, Config{TLS: TLSImplicit, Host: "relay.test"})
	is.Equal(asError(err).Op, attempt.OpTLS) // a relay without TLS is refused
}

func TestOnlyExtensionsOfferedOverTLSCount(t *testing.T) {
	is := is.New(t)
	server, pool := serverTLS(t, "relay.test")
	hellos := 0
	r := &smtptest.Relay{TLS: server, Reply: func(verb, _ string) string {
		if verb != "EHLO" {
			return ""
		}
		hellos++
		return []string{"250-a\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 SIZE 1", "250-a\r\n250 8BITMIME"}[hellos-1]
	}}
	c, err := open(t.Context(), r, remote, Config{Host: "relay.test", TLSConfig: &tls.Config{RootCAs: pool}})
	is.NoErr(err) // set up
	_, size := c.Extension("SIZE")
	_, auth := c.Extension("AUTH")
	_, eight := c.Extension("8BITMIME")
	is.True(!size && !auth && eight) // extensions offered before TLS are forgotten
}

func TestPlaintextBehindSTARTTLSEndsTheSession(t *testing.T) {
	for _, answer := range []string{"220 go\r\n250 injected", "220 go\r\nx"} {
		is := is.New(t)
		server, pool := serverTLS(t, "relay.test")
		r := &smtptest.Relay{TLS: server, Ext: []string{"STARTTLS"}, Reply: script(map[string]string{"STARTTLS": answer})}
		_, err := open(t.Context(), r, remote, Config{Host: "relay.test", TLSConfig: &tls.Config{RootCAs: pool}})
		is.Equal(asError(err).Op, attempt.OpTLS)               // CVE-2011-0411
		is.True(strings.Contains(err.Error(), "in the clear")) // with the reason
		is.Equal(len(r.Commands()), 2)                         // no further command
	}
}

func TestSTARTTLSThatFailsIsNotFollowedByClearText(t *testing.T) {
	for answer, code := range map[string]int{"454 4.7.0 later": 454, "501 what": 501, "421 bye": 421, "250 ok": 0, "220 go|close": 0, "close": 0} {
		t.Run(answer, func(t *testing.T) {
			is := is.New(t)
			server, _ := serverTLS(t, "relay.test")
			r := &smtptest.Relay{TLS: server, Ext: []string{"STARTTLS"}, Reply: script(map[string]string{"STARTTLS": answer})}
			_, err := open(t.Context(), r, remote, Config{Host: "relay.test"})
			is.Equal(asError(err).Op, attempt.OpTLS) // the step is named
			is.Equal(asError(err).Reply.Code, code)  // with the reply
			is.Equal(len(r.Commands()), 2)           // no further command
		})
	}
}

func TestHandshakeHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		r := &smtptest.Relay{Ext: []string{"STARTTLS"}, Reply: script(map[string]string{"STARTTLS": "220 go|hang"})}
		start := time.Now()
		_, err := open(t.Context(), r, remote, Config{Host: "relay.test", Timeout: noLimit})
		is.Equal(asError(err).Op, attempt.OpTLS)   // the step is named
		is.True(isTimeout(err))                    // the cause is time
		is.Equal(time.Since(start), 2*time.Minute) // after the limit
	})
}

// If the content cannot be read to its end, a relay gets no whole message over TLS either.
func TestContentThatBreaksOffOverTLS(t *testing.T) {
	is := is.New(t)
	server, pool := serverTLS(t, "relay.test")
	r := &smtptest.Relay{TLS: server, Implicit: true}
	c, err := open(t.Context(), r, remote, Config{TLS: TLSImplicit, Host: "relay.test", TLSConfig: &tls.Config{RootCAs: pool}})
	is.NoErr(err) // set up
	x := letter("a@x.test")
	x.Content = io.LimitReader(x.Content, 10)
	is.True(c.Transact(t.Context(), x)[0].Err.Source) // the message is at fault
	is.Equal(len(r.Messages()), 0)                    // and has no end of the data
}

func TestIsLocal(t *testing.T) {
	for _, test := range []struct {
		addr net.Addr
		want bool
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 9, 9, 9), Port: 25}, true},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 25}, true},
		{&net.UnixAddr{Net: "unix", Name: "/x"}, true},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25}, false},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "lo", Port: 25}, false},
		{&net.TCPAddr{}, false},
		{nil, false},
	} {
		is := is.New(t)
		is.Equal(isLocal(test.addr), test.want) // only addresses on this host
	}
}

var errPin = errors.New("not the pinned key")

// pinOf is the pin of a certificate.
func pinOf(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	sum := sha256.Sum256(cfg.Certificates[0].Leaf.RawSubjectPublicKeyInfo)
	return "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestPins(t *testing.T) {
	server, pool := serverTLS(t, "relay.test")
	other, _ := serverTLS(t, "relay.test")
	good, bad := pinOf(t, server), pinOf(t, other)
	for _, test := range []struct {
		name  string
		offer string
		cfg   Config
		err   string
	}{
		{"right", "STARTTLS", Config{Host: "other.test", Pins: []string{good}}, ""},
		{"one of them", "STARTTLS", Config{Host: "relay.test", Pins: []string{bad, good}}, ""},
		{"another", "STARTTLS", Config{Host: "relay.test", Pins: []string{bad}}, "the relay's key is " + good + ", which is not pinned"},
		{"another, but verified", "STARTTLS", Config{Host: "relay.test", Pins: []string{bad}, TLSConfig: &tls.Config{RootCAs: pool}}, "not pinned"},
		{"no TLS", "SIZE", Config{Host: "relay.test", Pins: []string{good}}, "does not offer STARTTLS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			test.cfg.Auth = Plain("ann", secret)
			r := &smtptest.Relay{TLS: server, Ext: []string{test.offer, "AUTH PLAIN"}, Users: map[string]string{"ann": secret}}
			_, err := open(t.Context(), r, remote, test.cfg)
			is.Equal(err == nil, test.err == "") // only the pinned key is accepted, also for credentials
			if err != nil {
				is.Equal(asError(err).Op, attempt.OpTLS)         // the step is named
				is.True(strings.Contains(err.Error(), test.err)) // with the reason
			}
		})
	}
}

// A pin is compared with the certificate whose key the relay has proved to have.
func TestPinOfACertificateBehindAnother(t *testing.T) {
	is := is.New(t)
	server, _ := serverTLS(t, "relay.test")
	attacker, _ := serverTLS(t, "relay.test")
	attacker.Certificates[0].Certificate = append(attacker.Certificates[0].Certificate, server.Certificates[0].Certificate[0])
	r := &smtptest.Relay{TLS: attacker, Ext: []string{"STARTTLS"}}
	_, err := open(t.Context(), r, remote, Config{Host: "relay.test", Pins: []string{pinOf(t, server)}})
	is.Equal(asError(err).Op, attempt.OpTLS) // any relay can send a copy of another certificate
}

func TestSessionsAreResumed(t *testing.T) {
	is := is.New(t)
	server, pool := serverTLS(t, "relay.test")
	cfg := Config{TLS: TLSStartTLS, Host: "relay.test", TLSConfig: &tls.Config{RootCAs: pool}, Sessions: tls.NewLRUClientSessionCache(2)}
	r := &smtptest.Relay{TLS: server, Ext: []string{"STARTTLS"}}
	for i := range 3 {
		c, err := open(t.Context(), r, remote, cfg)
		is.NoErr(err)                                                      // set up
		is.Equal(c.wire.nc.(*tls.Conn).ConnectionState().DidResume, i > 0) // all sessions except the first are resumed
		is.Equal(c.Transact(t.Context(), letter("a@x.test"))[0].Err, nil)  // accepted
		is.NoErr(c.Quit())                                                 // QUIT succeeds
	}
}

func TestCertificateThatHasExpired(t *testing.T) {
	is := is.New(t)
	server, pool := serverTLS(t, "relay.test")
	later := func() time.Time { return time.Now().Add(100 * time.Hour) }
	r := &smtptest.Relay{TLS: server, Ext: []string{"STARTTLS"}}
	_, err := open(t.Context(), r, remote, Config{Host: "relay.test", TLSConfig: &tls.Config{RootCAs: pool, Time: later}})
	is.Equal(asError(err).Op, attempt.OpTLS)                // the step is named
	is.True(strings.Contains(err.Error(), "is valid from")) // with the reason
	var invalid x509.CertificateInvalidError
	is.True(errors.As(err, &invalid)) // and the cause
}

// A relay with TLS 1.1 only is accepted with TLSMin, and refused without.
func TestOldTLS(t *testing.T) {
	server, pool := serverTLS(t, "mail.example.com")
	server.MinVersion, server.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for min, ok := range map[uint16]bool{0: false, tls.VersionTLS12: false, tls.VersionTLS10: true} {
		is := is.New(t)
		r := &smtptest.Relay{Ext: []string{"STARTTLS"}, TLS: server}
		c, err := open(t.Context(), r, remote, Config{
			TLS: TLSStartTLS, TLSConfig: &tls.Config{RootCAs: pool, ServerName: "mail.example.com"}, TLSMin: min,
		})
		is.Equal(err == nil, ok)
		if ok {
			is.NoErr(c.Quit())
		}
	}
}
