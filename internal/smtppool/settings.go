package smtppool

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

// Settings are the SMTP settings of a relay. The fields are the fields of the root's SMTP, which has the documentation,
// so the compiler checks the conversion from SMTP to Settings.
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

	TLSMin string

	Family     string
	Recipients int
	ReportFrom string
	NoQuotas   bool
	Idle       time.Duration

	NoPipelining, NoChunking bool
	Window                   int

	Version string // for comparison only
}

// tlsMode returns the TLS mode for Settings.TLS.
func tlsMode(name string) (smtpclient.TLSMode, error) {
	switch name {
	case "", "auto":
		return smtpclient.TLSAuto, nil
	case "starttls":
		return smtpclient.TLSStartTLS, nil
	case "tls":
		return smtpclient.TLSImplicit, nil
	case "none":
		return smtpclient.TLSNone, nil
	}
	return 0, fmt.Errorf("TLS mode %q is not auto, starttls, tls or none", name)
}

// Config returns the settings for the SMTP client. localName is the name for EHLO, timeout the upper bound for each
// step, tlsConfig the default for Settings.TLSConfig. An error names an invalid setting.
func (s Settings) Config(localName string, timeout time.Duration, tlsConfig *tls.Config) (smtpclient.Config, error) {
	mode, err := tlsMode(s.TLS)
	if err == nil {
		err = s.check()
	}
	if err == nil && localName != "" {
		err = smtpclient.CheckLocalName(localName)
	}
	c := smtpclient.Config{
		LocalName: localName, Timeout: timeout, TLS: mode, TLSConfig: cmp.Or(s.TLSConfig, tlsConfig), Pins: s.Pins,
		TLSMin: tlsVersions[s.TLSMin], Recipients: s.Recipients,
		ReportFrom: s.ReportFrom, NoQuotas: s.NoQuotas,
		NoPipelining: s.NoPipelining, NoChunking: s.NoChunking, Window: s.Window,
		Sessions: tls.NewLRUClientSessionCache(0),
	}
	if s.LogsIn() {
		c.Auth = s.credentials().Auth()
	}
	return c, err
}

// tlsVersions are the versions for Settings.TLSMin.
var tlsVersions = map[string]uint16{
	"": 0, "1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13,
}

// check returns an error that names an invalid setting.
func (s Settings) check() error {
	switch _, known := tlsVersions[s.TLSMin]; {
	case s.Window < 0:
		return errors.New("option SMTP.Window is negative")
	case s.Recipients < 0:
		return errors.New("option SMTP.Recipients is negative")
	case s.Idle < 0:
		return errors.New("option SMTP.Idle is negative")
	case !known:
		return fmt.Errorf("TLS version %q is not 1.0, 1.1, 1.2 or 1.3", s.TLSMin)
	case s.Family != "" && s.Family != "4" && s.Family != "6":
		return fmt.Errorf("address family %q is not 4 or 6", s.Family)
	case s.ReportFrom != "" && message.CheckAddress(s.ReportFrom) != nil:
		return fmt.Errorf("option SMTP.ReportFrom: %q is no address", s.ReportFrom)
	}
	return nil
}

// LogsIn reports whether the settings require a login.
func (s Settings) LogsIn() bool { return s.User != "" || s.Mechanism == "EXTERNAL" }

// NeedsSecret reports whether the login needs a password or a token.
func (s Settings) NeedsSecret() bool { return s.User != "" && s.Mechanism != "EXTERNAL" }

// Mechanisms returns the mechanisms for a login, the strongest first; none without a login.
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
	return smtpclient.Credentials{
		User: s.User, Password: secret, Token: s.Token, Mechanism: s.Mechanism, Client: s.Auth,
	}
}
