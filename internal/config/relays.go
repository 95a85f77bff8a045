package config

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/credential"
	"github.com/unbit/spoolgore/internal/execrelay"
	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/oauth"
	"github.com/unbit/spoolgore/internal/proxydial"
	"github.com/unbit/spoolgore/internal/relayfile"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtppool"
)

// Complete adds the options that stand in files: certificates, and the routes of the relays file. It warns of passwords
// that other users of the host can see.
func (c *Config) Complete(log *slog.Logger) (err error) {
	if flag := c.visible(); flag != "" {
		log.Warn("password on the command line can be seen by every user of this host", "flag", flag,
			"better", betterThan(flag))
	}
	if c.exposed() {
		log.Warn("configuration with a password can be read by every user of this host", "file", c.File)
	}
	if c.SendersFile != "" {
		if c.Opts.Rewrite.Senders, err = readSenders(c.SendersFile); err != nil {
			return fmt.Errorf("-senders: %w", err)
		}
	}
	if err := checkLocalName(c); err != nil {
		return err
	}
	if v := c.Opts.SMTP.TLSMin; v == "1.0" || v == "1.1" {
		log.Warn("old TLS versions and weak ciphers are allowed; others may read the mail", "smtptlsmin", v)
	}
	if c.Opts.Dial, err = proxydial.New(c.dial); err != nil {
		return fmt.Errorf("-smtpproxy, -smtpsource: %w", err)
	}
	every := c.Opts.SMTP // settings for all relays
	if c.Opts.SMTP, err = settings(every, c.Relay, "-smtp", log); err != nil || c.RelaysFile == "" {
		return err
	}
	lines, exposed, err := relayfile.Read(c.RelaysFile)
	if err != nil {
		return fmt.Errorf("-relays: %w", err)
	}
	if exposed {
		log.Warn("relays file with passwords can be read by every user of this host", "file", c.RelaysFile)
	}
	for _, line := range lines {
		where := fmt.Sprintf("%s:%d: ", c.RelaysFile, line.Line)
		if err := CheckAddresses(line.Relays); err != nil {
			return fmt.Errorf("%s%w", where, err)
		}
		route := spoolgore.Route{
			Sender: line.Sender, SMTPAddr: line.Relays,
			EnvelopeSender: line.Settings.Sender, HeaderFrom: line.Settings.From,
		}
		if route.SMTP, err = settings(every, line.Settings, where, log); err != nil {
			return err
		}
		c.Opts.Routes = append(c.Opts.Routes, route)
	}
	return nil
}

// checkLocalName returns an error for a name that cannot be sent with EHLO.
func checkLocalName(c *Config) error {
	if c.Opts.LocalName == "" {
		return nil
	}
	if err := smtpclient.CheckLocalName(c.Opts.LocalName); err != nil {
		return fmt.Errorf("%s: %w", c.From["localname"].Origin, err)
	}
	return nil
}

// betterThan returns the places for the password of a flag that other users cannot see.
func betterThan(flag string) string {
	switch flag {
	case "-httptoken":
		return "-httptokenfile, the environment"
	case "-smtpproxy":
		return "the file of -config, the environment"
	}
	return "-smtppasswordfile, -smtppasswordcmd, the environment"
}

// KeepSecrets reads the passwords now, for a process that gives up the rights to read them. A password that is changed
// later is not seen.
func KeepSecrets(o *spoolgore.Options) {
	keep := func(smtp *spoolgore.SMTP) {
		if smtp.Secret == nil {
			return
		}
		if text, err := smtp.Secret(context.Background(), false); err == nil {
			smtp.Secret = func(context.Context, bool) (string, error) { return text, nil }
		}
	}
	keep(&o.SMTP)
	for i := range o.Routes {
		keep(&o.Routes[i].SMTP)
	}
}

// CheckAddresses checks addresses of relays, so that an error can have an origin.
func CheckAddresses(relays string) error {
	for addr := range strings.SplitSeq(relays, ",") {
		if addr = strings.TrimSpace(addr); execrelay.Is(addr) {
			if _, err := execrelay.New(addr, 0, slog.Default()); err != nil {
				return err
			}
		} else if _, err := smtppool.New(smtppool.Options{Addr: addr}); err != nil {
			return err
		}
	}
	return nil
}

// settings adds s to the settings of every relay. prefix and a key name the source of a setting.
func settings(every spoolgore.SMTP, s relayfile.Settings, prefix string, log *slog.Logger) (smtp spoolgore.SMTP,
	err error) {
	smtp = every
	smtp.User, smtp.Mechanism, smtp.Token = s.User, s.Mechanism(), s.IsToken()
	smtp.Secret = password(s, prefix, log)
	smtp.TLS, smtp.Pins = spoolgore.TLSMode(s.TLS), s.Pins()
	smtp.Version = fingerprint(s)
	smtp.TLSConfig, err = tlsConfig(s, prefix)
	return smtp, err
}

// maxCertificates is the largest file of certificates, in octets.
const maxCertificates = 16 << 20

// fingerprint returns a hash of settings and the content of their files, for SMTP.Version. An unreadable file counts as
// empty.
func fingerprint(s relayfile.Settings) string {
	h := sha256.New()
	s.Sender, s.From = "", "" // no settings of connections
	fmt.Fprintf(h, "%#v\n", s)
	for _, path := range []string{s.PasswordFile, s.CA, s.Cert, s.Key} {
		text, _, err := fsys.ReadRegular(path, maxCertificates)
		if err != nil {
			text = nil
		}
		fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// password is where the password comes from; nil: from nowhere.
func password(s relayfile.Settings, prefix string, log *slog.Logger) credential.Func {
	switch {
	case s.PasswordCmd != "":
		return credential.Source{Name: prefix + "passwordcmd", Log: log}.Command(s.PasswordCmd)
	case s.PasswordFile != "":
		give := credential.Source{Name: prefix + "passwordfile", Log: log}.File(s.PasswordFile)
		// warns early of a wrong name; the file may exist by the first login
		if _, err := give(context.Background(), false); err != nil {
			log.Warn("password cannot be read; retrying at each login", "setting", prefix+"passwordfile", "err", err)
		}
		return give
	case s.OAuth != "":
		return oauth.Source(s.OAuth, log)
	case s.Password != "":
		return credential.Fixed(s.Password)
	}
	return nil
}

// tlsConfig returns the TLS configuration for certificates; nil: there are none. It sets no other fields, for which the
// package has its own.
func tlsConfig(s relayfile.Settings, prefix string) (*tls.Config, error) {
	if s.CA == "" && s.Cert == "" && s.TLSName == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.TLSName}
	if s.CA != "" {
		text, _, err := fsys.ReadRegular(s.CA, maxCertificates)
		if err != nil {
			return nil, fmt.Errorf("%sca: %w", prefix, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%sca: %s holds no certificate in PEM", prefix, s.CA)
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("%[1]scert %[2]s, %[1]skey %[3]s: %[4]w", prefix, s.Cert, s.Key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
