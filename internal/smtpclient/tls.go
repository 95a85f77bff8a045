package smtpclient

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
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
		if c.cfg.TLS == TLSStartTLS {
			return &Error{Op: OpTLS, Err: errors.New("the relay does not offer STARTTLS")}
		}
		return nil
	}
	if _, err := c.ask(OpTLS, []int{220}, "STARTTLS"); err != nil {
		return err
	}
	// Whoever sits on the line could put his own replies here, to be taken for the relay's (CVE-2011-0411).
	if c.r.Buffered() > 0 {
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
		return c.lost(OpTLS, fmt.Errorf("handshake: %w", err))
	}
	c.nc = secure
	c.r = bufio.NewReaderSize(secure, maxLine)
	c.private = c.private || verified
	return nil
}

// tlsConfig is what the handshake uses, and whether that makes sure that it is with the relay and with nobody else. A
// configuration that skips the usual verification and brings a callback has its own way (pins, for one).
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
	verified = !cfg.InsecureSkipVerify || cfg.VerifyConnection != nil || cfg.VerifyPeerCertificate != nil
	return cfg, verified
}
