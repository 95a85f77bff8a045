package smarthost

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// Settings say how a relay is spoken to. They are what the package's SMTP is, which documents them, and convert from it.
type Settings struct {
	User      string
	Secret    func(ctx context.Context, again bool) (string, error)
	Password  string
	Token     bool
	Mechanism string
	Auth      func(mechanism string) sasl.Client

	TLS       string
	TLSConfig *tls.Config
	Pins      []string

	NoPipelining, NoChunking bool
	Window                   int

	Version string // of what cannot be compared: nothing here depends on it
}

// Config is s in the words of the SMTP client, with what holds for all relays: the name given with EHLO, the bound of each
// step, and what TLS uses where s has nothing of its own.
func (s Settings) Config(localName string, timeout time.Duration, tlsConfig *tls.Config) (smtpclient.Config, error) {
	c := smtpclient.Config{
		LocalName: localName, Timeout: timeout, TLSConfig: cmp.Or(s.TLSConfig, tlsConfig), Pins: s.Pins,
		NoPipelining: s.NoPipelining, NoChunking: s.NoChunking, Window: s.Window, Sessions: tls.NewLRUClientSessionCache(0),
	}
	mode, ok := map[string]smtpclient.TLSMode{
		"": smtpclient.TLSAuto, "auto": smtpclient.TLSAuto, "starttls": smtpclient.TLSStartTLS, "tls": smtpclient.TLSImplicit, "none": smtpclient.TLSNone,
	}[s.TLS]
	if !ok {
		return c, fmt.Errorf("TLS mode %q is not auto, starttls, tls or none", s.TLS)
	}
	if s.Window < 0 {
		return c, errors.New("option SMTP.Window is negative")
	}
	c.TLS = mode
	if s.LogsIn() {
		c.Auth = s.credentials().Auth()
	}
	return c, nil
}

// LogsIn reports whether mail is sent after a login only.
func (s Settings) LogsIn() bool { return s.User != "" || s.Mechanism == "EXTERNAL" }

// NeedsSecret reports whether the login takes a password or a token.
func (s Settings) NeedsSecret() bool { return s.User != "" && s.Mechanism != "EXTERNAL" }

// Mechanisms are those that it can log in with, the strongest first; none: it does not log in.
func (s Settings) Mechanisms() []string {
	if !s.LogsIn() {
		return nil
	}
	return s.credentials().Mechanisms()
}

func (s Settings) credentials() smtpclient.Credentials {
	secret := s.Secret
	if secret == nil {
		secret = func(context.Context, bool) (string, error) { return s.Password, nil }
	}
	return smtpclient.Credentials{User: s.User, Password: secret, Token: s.Token, Mechanism: s.Mechanism, Client: s.Auth}
}
