package relayfile

import (
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		settings Settings
		say      string // empty: the settings are valid
	}{
		"nothing":                    {Settings{}, ""},
		"password":                   {Settings{User: "u", Password: "s"}, ""},
		"no password yet":            {Settings{User: "u"}, ""},
		"password without user":      {Settings{Password: "cret"}, "-smtppassword without -smtpuser"},
		"passwordfile without user":  {Settings{PasswordFile: "f"}, "-smtppasswordfile without -smtpuser"},
		"passwordcmd without user":   {Settings{PasswordCmd: "cret"}, "-smtppasswordcmd without -smtpuser"},
		"token without user":         {Settings{Token: true}, "-smtptoken without -smtpuser"},
		"password and file":          {Settings{User: "u", Password: "cret", PasswordFile: "f"}, "-smtppassword and -smtppasswordfile: only one"},
		"file and command":           {Settings{User: "u", PasswordFile: "f", PasswordCmd: "cret"}, "-smtppasswordfile and -smtppasswordcmd: only one"},
		"all of them":                {Settings{User: "u", Password: "p", PasswordFile: "f", PasswordCmd: "c"}, "-smtppassword and -smtppasswordfile and -smtppasswordcmd: only one"},
		"mechanism":                  {Settings{User: "u", Auth: "scram-sha-256"}, ""},
		"mechanism that is none":     {Settings{User: "u", Auth: "NTLM"}, "-smtpauth is none of SCRAM-SHA-256-PLUS, "},
		"mechanism without user":     {Settings{Auth: "PLAIN"}, "-smtpauth without -smtpuser"},
		"EXTERNAL":                   {Settings{Auth: "EXTERNAL"}, ""},
		"EXTERNAL with user":         {Settings{User: "u", Auth: "external"}, ""},
		"EXTERNAL with password":     {Settings{User: "u", Password: "cret", Auth: "external"}, "-smtpauth EXTERNAL takes no password"},
		"token with mechanism":       {Settings{User: "u", Token: true, Auth: "xoauth2"}, ""},
		"token with other mechanism": {Settings{User: "u", Token: true, Auth: "plain"}, "-smtptoken goes with XOAUTH2 and OAUTHBEARER, not with PLAIN"},
		"TLS mode":                   {Settings{TLS: "starttls"}, ""},
		"TLS mode that is none":      {Settings{TLS: "ssl"}, "-smtptls is none of auto, starttls, tls, none"},
		"certificate and key":        {Settings{Cert: "c", Key: "k"}, ""},
		"certificate without key":    {Settings{Cert: "c"}, "-smtpcert and -smtpkey go together"},
		"key without certificate":    {Settings{Key: "k"}, "-smtpcert and -smtpkey go together"},
		"authority without TLS":      {Settings{TLS: "none", CA: "c"}, "-smtpca is of no use with -smtptls none"},
		"certificate without TLS":    {Settings{TLS: "none", Cert: "c", Key: "k"}, "-smtpcert is of no use with -smtptls none"},
		"pin without TLS":            {Settings{TLS: "none", Pin: pin}, "-smtppin is of no use with -smtptls none"},
		"tlsname without TLS":        {Settings{TLS: "none", TLSName: "a.org"}, "-smtptlsname is of no use with -smtptls none"},
		"tlsname":                    {Settings{TLSName: "a.org"}, ""},
		"tlsname with a port":        {Settings{TLSName: "a.org:25"}, `-smtptlsname "a.org:25" is no host name`},
		"pins":                       {Settings{Pin: pin + ", " + pin + ","}, ""},
		"no pins":                    {Settings{Pin: " , "}, "-smtppin is empty"},
		"pin of another kind":        {Settings{Pin: pin + ",sha1//AAAA"}, `-smtppin: "sha1//AAAA" does not begin with sha256//`},
		"pin too short":              {Settings{Pin: "sha256//AAAA"}, `-smtppin: "sha256//AAAA" is not the base64 of 32 bytes`},
		"pin in hex":                 {Settings{Pin: "sha256//" + strings.Repeat("0f", 32)}, "-smtppin: "},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			err := c.settings.Check("-smtp")
			if c.say == "" {
				is.NoErr(err)
				return
			}
			is.True(err != nil) // refused
			if !strings.HasPrefix(err.Error(), c.say) {
				t.Errorf("got  %v\nwant %s", err, c.say)
			}
			is.True(!strings.Contains(err.Error(), "cret")) // no secret is shown
		})
	}
}

func TestSettings(t *testing.T) {
	is := is.New(t)
	is.Equal(Settings{Pin: " a, b,"}.Pins(), []string{"a", "b"})           // split at commas
	is.Equal(Settings{}.Pins(), nil)                                       // none
	is.Equal(Settings{Auth: "Scram-sha-256"}.Mechanism(), "SCRAM-SHA-256") // in upper case
	is.True(Settings{Token: true}.IsToken())                               // Token is set
	is.True(Settings{Auth: "xoauth2"}.IsToken())                           // XOAUTH2 needs a token
	is.True(!Settings{Auth: "plain"}.IsToken())                            // a password
	is.True(Settings{User: "u"}.NeedsPassword())                           // a user needs a password
	is.True(!Settings{}.NeedsPassword())                                   // no user, no password
	is.True(!Settings{User: "u", Auth: "external"}.NeedsPassword())        // the certificate is the login
	is.True(Settings{PasswordCmd: "c"}.HasPassword())                      // the command gives the password
}
