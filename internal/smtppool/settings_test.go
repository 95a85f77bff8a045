package smtppool

import (
	"crypto/tls"
	"testing"

	"github.com/matryer/is"
)

func TestSettingsLogIn(t *testing.T) {
	for name, c := range map[string]struct {
		settings Settings
		first    string // the first mechanism; empty: no login
	}{
		"nobody":   {Settings{}, ""},
		"password": {Settings{User: "u", Password: "p"}, "SCRAM-SHA-256-PLUS"},
		"one":      {Settings{User: "u", Mechanism: "login"}, "LOGIN"},
		"token":    {Settings{User: "u", Token: true}, "OAUTHBEARER"},
		"external": {Settings{Mechanism: "EXTERNAL"}, "EXTERNAL"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			config, err := c.settings.Config("me.test", 0, nil)
			is.NoErr(err)
			is.Equal(config.Auth != nil, c.first != "") // a login if there is a user
			first := ""
			if mechanisms := c.settings.Mechanisms(); len(mechanisms) > 0 {
				first = mechanisms[0]
			}
			is.Equal(first, c.first) // the strongest mechanism comes first
		})
	}
}

func TestInvalidSettings(t *testing.T) {
	for name, s := range map[string]Settings{"TLS mode": {TLS: "ssl"}, "window": {Window: -1}} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			_, err := s.Config("me.test", 0, nil)
			is.True(err != nil) // an error before any connection
		})
	}
}

func TestFurtherSettings(t *testing.T) {
	is := is.New(t)
	c, err := Settings{TLSMin: "1.0", Recipients: 50}.Config("me", 0, nil)
	is.NoErr(err)
	is.Equal(c.TLSMin, uint16(tls.VersionTLS10))
	is.Equal(c.Recipients, 50)
	for _, bad := range []Settings{{TLSMin: "0.9"}, {Family: "5"}, {Recipients: -1}, {Idle: -1}, {Window: -1}} {
		_, err := bad.Config("me", 0, nil)
		is.True(err != nil)
	}
	_, err = Settings{ReportFrom: "app@"}.Config("me", 0, nil)
	is.Equal(err.Error(), `option SMTP.ReportFrom: "app@" is no address`)
	_, err = Settings{}.Config("web 1", 0, nil)
	is.Equal(err.Error(), `the local name "web 1" is no host name`)
}
