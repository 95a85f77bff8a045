package smtpclient

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

func (c *Conn) implicitTLS() *Error {
	if c.cfg.TLS != TLSImplicit {
		return nil
	}
	return c.handshake()
}

// startTLS goes over to TLS where it is asked for and offered. A relay that offers it and then refuses it is not
// spoken to in the clear.
func (c *Conn) startTLS() *Error {
	if c.cfg.TLS != TLSAuto && c.cfg.TLS != TLSStartTLS {
		return nil
	}
	if _, ok := c.Extension("STARTTLS"); !ok {
		if c.cfg.TLS == TLSStartTLS || len(c.cfg.Pins) > 0 {
			return &Error{Op: OpTLS, Err: ErrNoStartTLS}
		}
		return nil
	}
	if _, err := c.ask(OpTLS, []int{220}, "STARTTLS"); err != nil {
		return err
	}
	// Whoever sits on the line could put his own replies here, to be taken for the relay's (CVE-2011-0411).
	if c.r.buffered() > 0 {
		return &Error{Op: OpTLS, Err: errors.New("the relay sent something in the clear after STARTTLS")}
	}
	if err := c.handshake(); err != nil {
		return err
	}
	return c.hello() // forgets what was offered in the clear
}

func (c *Conn) handshake() *Error {
	cfg, verified := c.tlsConfig()
	c.limit = c.limitFor(OpTLS)
	if err := c.raw.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return c.lost(OpTLS, err)
	}
	secure := tls.Client(c.raw, cfg)
	if err := secure.Handshake(); err != nil {
		return c.lost(OpTLS, fmt.Errorf("handshake: %w", inWords(err)))
	}
	c.nc, c.version = secure, secure.ConnectionState().Version
	c.r = newLineReader(secure)
	c.private = c.private || verified
	return nil
}

// tlsConfig is what the handshake uses, and whether that makes sure that it is with the relay and with nobody else. A
// configuration that skips the usual verification and brings a callback has its own way.
func (c *Conn) tlsConfig() (cfg *tls.Config, verified bool) {
	cfg = c.cfg.TLSConfig.Clone() // nil stays nil
	if cfg == nil {
		cfg = &tls.Config{InsecureSkipVerify: c.cfg.TLS == TLSAuto && isLocal(c.raw.RemoteAddr())}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = c.cfg.Host
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	if cfg.ClientSessionCache == nil {
		cfg.ClientSessionCache = c.cfg.Sessions
	}
	if len(c.cfg.Pins) > 0 {
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = both(pinned(c.cfg.Pins), cfg.VerifyConnection)
	}
	verified = !cfg.InsecureSkipVerify || cfg.VerifyConnection != nil || cfg.VerifyPeerCertificate != nil
	return cfg, verified
}

func both(first, second func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if err := first(state); err != nil || second == nil {
			return err
		}
		return second(state)
	}
}

// pinned verifies that the relay has one of the keys. Only the first certificate counts: the handshake has proved no
// other key.
func pinned(pins []string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the relay has no certificate")
		}
		sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
		if key := "sha256//" + base64.StdEncoding.EncodeToString(sum[:]); !slices.Contains(pins, key) {
			return fmt.Errorf("the relay's key is %s, which is not pinned", key)
		}
		return nil
	}
}

// inWords says what is wrong with a certificate. What the caller may want to look at stays below it.
func inWords(err error) error {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &host) && host.Certificate != nil:
		return worded{fmt.Sprintf("the relay's certificate is for %s, not %s", namesIn(host.Certificate), host.Host), err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return worded{fmt.Sprintf("the relay's certificate is valid from %s to %s only",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339)), err}
	case errors.As(err, &unknown):
		return worded{"the relay's certificate is signed by an unknown authority", err}
	}
	return err
}

// namesIn are the names and addresses a certificate is for.
func namesIn(cert *x509.Certificate) string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no host"
	}
	return strings.Join(names[:min(len(names), 10)], ", ")
}

// worded is an error with a text of its own.
type worded struct {
	text string
	error
}

func (w worded) Error() string { return w.text }

func (w worded) Unwrap() error { return w.error }
