package smtpclient

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
)

// implicitTLS starts TLS before the greeting if configured.
func (c *Conn) implicitTLS() *Error {
	if c.cfg.TLS != TLSImplicit {
		return nil
	}
	return c.secure()
}

// startTLS sends STARTTLS if configured and offered. If a relay offers STARTTLS and then refuses the command, the
// session fails and does not go on without TLS.
func (c *Conn) startTLS() *Error {
	if c.cfg.TLS != TLSAuto && c.cfg.TLS != TLSStartTLS {
		return nil
	}
	if !c.ext.has("STARTTLS") {
		if c.cfg.TLS == TLSStartTLS || len(c.cfg.Pins) > 0 {
			return &Error{Op: attempt.OpTLS, Err: ErrNoStartTLS}
		}
		return nil
	}
	if _, err := c.wire.ask(attempt.OpTLS, []int{2}, "STARTTLS"); err != nil {
		return err
	}
	// An attacker on the network could inject replies here, to be read as replies over TLS (CVE-2011-0411).
	if c.wire.in.buffered() > 0 {
		return &Error{Op: attempt.OpTLS, Err: errors.New("the relay sent something in the clear after STARTTLS")}
	}
	if err := c.secure(); err != nil {
		return err
	}
	return c.hello() // the extensions offered without TLS do not count
}

// secure makes the TLS handshake.
func (c *Conn) secure() *Error {
	cfg, verified := tlsConfig(&c.cfg, c.wire.raw.RemoteAddr())
	secure, err := c.wire.handshake(cfg, c.cfg.Logins)
	if err != nil {
		return err
	}
	c.version = secure.ConnectionState().Version
	c.private = c.private || verified
	return nil
}

// tlsConfig returns the configuration of the handshake, and whether the handshake verifies the identity of the relay. A
// TLSConfig with InsecureSkipVerify and a callback counts as verified.
func tlsConfig(c *Config, remote net.Addr) (cfg *tls.Config, verified bool) {
	cfg = c.TLSConfig.Clone() // nil stays nil
	if cfg == nil {
		cfg = &tls.Config{InsecureSkipVerify: c.TLS == TLSAuto && c.Local && isLocal(remote)}
	}
	if cfg.RootCAs == nil {
		cfg.RootCAs = system.current()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = c.Host
		if c.AltHost != "" && !cfg.InsecureSkipVerify {
			cfg.InsecureSkipVerify = true
			cfg.VerifyConnection = both(oneOf(cfg.Clone(), c.Host, c.AltHost), cfg.VerifyConnection)
		}
	}
	if c.TLSMin != 0 {
		cfg.MinVersion = c.TLSMin
	}
	if c.TLSMin != 0 && c.TLSMin < tls.VersionTLS12 {
		cfg.CipherSuites = allCiphers()
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	if cfg.ClientSessionCache == nil {
		cfg.ClientSessionCache = c.Sessions
	}
	if len(c.Pins) > 0 {
		own := c.TLSConfig.Clone() // without the check of two names
		cfg.InsecureSkipVerify, cfg.VerifyConnection = true, pinned(c.Pins)
		if own != nil {
			cfg.VerifyConnection = both(cfg.VerifyConnection, own.VerifyConnection)
		}
	}
	verified = !cfg.InsecureSkipVerify || cfg.VerifyConnection != nil || cfg.VerifyPeerCertificate != nil
	return cfg, verified
}

// oneOf returns a check that the certificate is for one of the names, as crypto/tls makes it for one name.
func oneOf(cfg *tls.Config, names ...string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) (err error) {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the relay has no certificate")
		}
		opts := x509.VerifyOptions{Roots: cfg.RootCAs, Intermediates: x509.NewCertPool()}
		if cfg.Time != nil {
			opts.CurrentTime = cfg.Time()
		}
		for _, cert := range state.PeerCertificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
		for _, opts.DNSName = range names {
			opts.DNSName = strings.TrimSuffix(opts.DNSName, ".")
			if _, err = state.PeerCertificates[0].Verify(opts); err == nil {
				return nil
			}
		}
		return explainCertificate(err)
	}
}

// allCiphers returns all cipher suites, for old relays: also RSA key exchange and CBC with SHA-1.
func allCiphers() (ids []uint16) {
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		ids = append(ids, suite.ID)
	}
	return ids
}

// both returns a check that runs first and then second. second may be nil.
func both(first, second func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if err := first(state); err != nil || second == nil {
			return err
		}
		return second(state)
	}
}

// pinned returns a check that the relay has one of the keys. Only the first certificate counts: the handshake proves
// the possession of no other key.
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

// explainCertificate replaces the text of a certificate error by a clearer text. The result wraps err.
func explainCertificate(err error) error {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &host) && host.Certificate != nil:
		return explained{fmt.Sprintf("the relay's certificate is for %s, not %s",
			namesIn(host.Certificate), host.Host), err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return explained{fmt.Sprintf("the relay's certificate is valid from %s to %s only",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339)), err}
	case errors.As(err, &unknown):
		return explained{"the relay's certificate is signed by an unknown authority", err}
	}
	return err
}

// namesIn returns the host names and addresses of a certificate.
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

// explained is an error with another text.
type explained struct {
	text string
	error
}

// Error returns the clearer text.
func (e explained) Error() string { return e.text }

// Unwrap returns the original error.
func (e explained) Unwrap() error { return e.error }
