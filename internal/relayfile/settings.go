package relayfile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/message"
)

// Settings are the TLS and AUTH settings for the relays of a route. Each field means the same as the daemon's flag of
// its name ("-smtpuser" for User). The zero value means no login, and TLS if the relay offers it.
type Settings struct {
	User                                string
	Password, PasswordFile, PasswordCmd string // at most one of the three
	OAuth                               string // file of package oauth, in place of a password
	Token                               bool   // the password is an OAuth 2.0 access token
	Auth                                string // mechanism, in any case
	TLS                                 string // "auto", "starttls", "tls", "none"; empty: auto
	CA, Cert, Key                       string // PEM files
	Pin                                 string // public keys as "sha256//BASE64", separated by commas
	TLSName                             string // host name that the certificate must have; empty: that of the relay
	Sender, From                        string // reverse-path, and address in From; empty: those of the daemon
}

// HasPassword reports whether there is a password or a source of a password.
func (s Settings) HasPassword() bool {
	return s.Password != "" || s.PasswordFile != "" || s.PasswordCmd != "" || s.OAuth != ""
}

// Pins returns the parts of Pin.
func (s Settings) Pins() (pins []string) {
	for pin := range strings.SplitSeq(s.Pin, ",") {
		if pin = strings.TrimSpace(pin); pin != "" {
			pins = append(pins, pin)
		}
	}
	return pins
}

// Check returns an error for wrong settings. It does not read files. The names of settings in the error begin with
// prefix: "-smtp" for flags, empty for a relays file. No error shows a possible secret. A user without a password is no
// error.
func (s Settings) Check(prefix string) error {
	for _, check := range []func(string) error{s.checkPassword, s.checkAuth, s.checkTLS, s.checkPins, s.checkSender} {
		if err := check(prefix); err != nil {
			return err
		}
	}
	return nil
}

// checkSender returns an error for a sender that is no address.
func (s Settings) checkSender(prefix string) error {
	for _, a := range [][2]string{{"sender", s.Sender}, {"from", s.From}} {
		if a[1] == "" {
			continue
		}
		if _, err := message.Canonical(a[1]); err != nil {
			return fmt.Errorf("%s%s %q is no address: %w", prefix, a[0], a[1], err)
		}
	}
	return nil
}

// checkPassword returns an error for several passwords, or for a password without a user.
func (s Settings) checkPassword(prefix string) error {
	var given []string
	for _, p := range [][2]string{
		{"password", s.Password}, {"passwordfile", s.PasswordFile}, {"passwordcmd", s.PasswordCmd},
		{"oauth", s.OAuth},
	} {
		if p[1] != "" {
			given = append(given, prefix+p[0])
		}
	}
	if len(given) > 1 {
		return fmt.Errorf("%s: only one of them can be the password", strings.Join(given, " and "))
	}
	if s.Token {
		given = append(given, prefix+"token")
	}
	if s.User == "" && len(given) > 0 {
		return fmt.Errorf("%s without %suser", given[0], prefix)
	}
	return nil
}

const external = "EXTERNAL"

// checkAuth returns an error for an unknown mechanism, or for a mechanism that does not go with the other settings.
func (s Settings) checkAuth(prefix string) error {
	known := []string{
		"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER", external,
	}
	switch mech := s.Mechanism(); {
	case mech == "":
		return nil
	case !slices.Contains(known, mech):
		return fmt.Errorf("%sauth is none of %s", prefix, strings.Join(known, ", "))
	case (s.Token || s.OAuth != "") && !isOAuth(mech):
		return fmt.Errorf("%stoken goes with XOAUTH2 and OAUTHBEARER, not with %s", prefix, mech)
	case mech == external && s.HasPassword():
		return fmt.Errorf("%sauth EXTERNAL takes no password: the certificate says who it is", prefix)
	case mech != external && s.User == "":
		return fmt.Errorf("%sauth without %suser", prefix, prefix)
	}
	return nil
}

// Mechanism returns Auth in upper case, as relays announce mechanisms.
func (s Settings) Mechanism() string { return strings.ToUpper(s.Auth) }

// IsToken reports whether the password is an OAuth 2.0 access token: Token is set, or the mechanism takes only tokens.
func (s Settings) IsToken() bool { return s.Token || s.OAuth != "" || isOAuth(s.Mechanism()) }

func isOAuth(mech string) bool { return mech == "XOAUTH2" || mech == "OAUTHBEARER" }

// NeedsPassword reports whether the login needs a password.
func (s Settings) NeedsPassword() bool { return s.User != "" && s.Mechanism() != external }

// checkTLS returns an error for wrong TLS settings.
func (s Settings) checkTLS(prefix string) error {
	if !slices.Contains([]string{"", "auto", "starttls", "tls", "none"}, s.TLS) {
		return fmt.Errorf("%stls is none of auto, starttls, tls, none", prefix)
	}
	if (s.Cert == "") != (s.Key == "") {
		return fmt.Errorf("%[1]scert and %[1]skey go together", prefix)
	}
	for _, p := range [][2]string{{"ca", s.CA}, {"cert", s.Cert}, {"pin", s.Pin}, {"tlsname", s.TLSName}} {
		if s.TLS == "none" && p[1] != "" {
			return fmt.Errorf("%s%s is of no use with %stls none", prefix, p[0], prefix)
		}
	}
	if strings.ContainsAny(s.TLSName, ":/@, \t") {
		return fmt.Errorf("%stlsname %q is no host name", prefix, s.TLSName)
	}
	return nil
}

// checkPins returns an error unless every pin is a SHA-256 checksum.
func (s Settings) checkPins(prefix string) error {
	pins := s.Pins()
	if s.Pin != "" && len(pins) == 0 {
		return fmt.Errorf("%spin is empty", prefix)
	}
	for _, pin := range pins {
		if err := checkPin(pin); err != nil {
			return fmt.Errorf("%spin: %q %w", prefix, pin, err)
		}
	}
	return nil
}

func checkPin(pin string) error {
	text, ok := strings.CutPrefix(pin, "sha256//")
	if !ok {
		return errors.New("does not begin with sha256//; spoolgore pin HOST prints the value")
	}
	sum, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sum) != 32 {
		return errors.New("is not the base64 of 32 bytes")
	}
	return nil
}
