//go:build unix

package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// keyPair writes a certificate for 127.0.0.1 and its key to dir.
func keyPair(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	pair, _ := smtptest.Certificate(t, "127.0.0.1")
	return writePair(t, dir, name, pair)
}

func writePair(t *testing.T, dir, name string, pair tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(t, err)
	asPEM := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return write(t, dir, name+".pem", asPEM("CERTIFICATE", pair.Certificate[0]), 0o644),
		write(t, dir, name+".key", asPEM("PRIVATE KEY", der), 0o600)
}

// pinOf is the pin of a certificate's key.
func pinOf(pair tls.Certificate) string {
	sum := sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo)
	return "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
}

// TestTLS uses the certificate of the relay as its own authority.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair, _ := smtptest.Certificate(t, "127.0.0.1")
	cert, _ := writePair(t, dir, "relay", pair)
	other, _ := keyPair(t, dir, "other")
	stranger, _ := smtptest.Certificate(t, "127.0.0.1")
	for name, c := range map[string]struct {
		args     []string
		implicit bool // TLS from the first byte
		offered  string
		wrong    string // text of the error; empty: the message arrives
		clear    bool   // without TLS
	}{
		"authority":               {args: []string{"-smtpca", cert}, offered: "STARTTLS"},
		"another authority":       {args: []string{"-smtpca", other}, offered: "STARTTLS", wrong: "unknown authority"},
		"required":                {args: []string{"-smtptls", "starttls", "-smtpca", cert}, offered: "STARTTLS"},
		"required and verified":   {args: []string{"-smtptls", "starttls"}, offered: "STARTTLS", wrong: "unknown authority"},
		"required, not offered":   {args: []string{"-smtptls", "starttls"}, offered: "SIZE", wrong: "does not offer STARTTLS"},
		"from the first byte":     {args: []string{"-smtptls", "tls", "-smtpca", cert}, implicit: true, offered: "SIZE"},
		"none":                    {args: []string{"-smtptls", "none"}, offered: "STARTTLS", clear: true},
		"pin":                     {args: []string{"-smtptls", "starttls", "-smtppin", pinOf(stranger) + "," + pinOf(pair)}, offered: "STARTTLS"},
		"another pin":             {args: []string{"-smtppin", pinOf(stranger)}, offered: "STARTTLS", wrong: pinOf(pair)},
		"pin from the first byte": {args: []string{"-smtptls", "tls", "-smtppin", pinOf(pair)}, implicit: true, offered: "SIZE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			relay := &smtptest.Relay{Ext: []string{c.offered}, Implicit: c.implicit, TLS: &tls.Config{Certificates: []tls.Certificate{pair}}}
			spool := t.TempDir()
			path := drop(t, spool, "one", mail("To: you@example.net"))
			d := start(t, append(append([]string{"-once", "-smtpaddr", relay.Listen(t)}, c.args...), spool)...)
			if c.wrong != "" {
				is.Equal(d.exit(), 75)                             // the relay cannot be used
				is.True(strings.Contains(d.log.String(), c.wrong)) // the log says why
				is.True(exists(path))                              // the message waits
				is.Equal(len(relay.Messages()), 0)                 // and was not sent
				return
			}
			is.Equal(d.exit(), 0) // sent
			checkDelivered(t, relay, " app@example.com")
			is.Equal(relay.Messages()[0].TLS, !c.clear) // over TLS, or not
		})
	}
}

// TestClientCertificate logs in with a certificate: the relay knows the user from the TLS session (RFC 4422, appendix
// A).
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	dir, spool := t.TempDir(), t.TempDir()
	pair, _ := smtptest.Certificate(t, "127.0.0.1")
	authority, _ := writePair(t, dir, "relay", pair)
	cert, key := keyPair(t, dir, "client")
	relay := &smtptest.Relay{
		Ext: []string{"STARTTLS", "AUTH PLAIN EXTERNAL"},
		TLS: &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert},
		Reply: func(verb, arg string) string {
			if verb == "AUTH" && strings.HasPrefix(arg, "EXTERNAL") {
				return "235 2.7.0 welcome"
			}
			return ""
		},
	}
	relays := write(t, dir, "relays", "* "+relay.Listen(t)+" tls=starttls auth=external ca=relay.pem cert=client.pem key=client.key\n", 0o600)
	drop(t, spool, "one", mail("To: you@example.net"))
	d := start(t, "-once", "-relays", relays, spool)
	is.Equal(d.exit(), 0)              // sent
	is.Equal(len(relay.Messages()), 1) // certificates of a line are found relative to the relays file

	drop(t, spool, "two", mail("To: you@example.net"))
	d = start(t, "-once", "-smtpaddr", relay.Listen(t), "-smtptls", "starttls", "-smtpca", authority, "-smtpcert", cert, "-smtpkey", key,
		"-smtpauth", "EXTERNAL", spool)
	is.Equal(d.exit(), 0)              // sent
	is.Equal(len(relay.Messages()), 2) // with the certificate of the flags, too
}
