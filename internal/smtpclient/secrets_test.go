package smtpclient

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// Some relays repeat the refused command or account data. Replies are written to log, status file and reports.
func TestRepliesRepeatNoCredentials(t *testing.T) {
	const password = "Pa55-of-the-shop"
	encoded := base64.StdEncoding.EncodeToString([]byte(password))
	echo := password + " " + encoded + " " + base64.StdEncoding.EncodeToString([]byte("\x00ann\x00"+password))
	for _, mech := range []string{"PLAIN", "LOGIN"} {
		for _, refused := range []string{"AUTH", "MAIL", "RCPT", "DATA", "MAIL bad line"} {
			t.Run(mech+" "+refused, func(t *testing.T) {
				is := is.New(t)
				answer := "550 5.7.1 no " + echo
				if verb, _, bad := strings.Cut(refused, " "); bad {
					refused, answer = verb, "no reply "+echo
				}
				steps := 0
				r := &smtptest.Relay{Ext: []string{"AUTH " + mech}, Reply: func(verb, arg string) string {
					if verb == refused {
						return answer
					}
					if verb == "AUTH" || len(arg) == 0 && strings.ContainsAny(verb, "=0123456789") {
						if steps++; mech == "LOGIN" && steps < 3 {
							return "334 VXNlcjo="
						}
						return "235 ok"
					}
					return ""
				}}
				cr := Credentials{User: "ann", Password: fixed(password), Mechanism: mech}
				c, err := open(t.Context(), r, local, Config{Auth: cr.Auth()})
				if err == nil {
					err = c.Transact(t.Context(), letter("a@x.test"))[0].Err
				}
				is.True(err != nil)
				for word := range strings.FieldsSeq(echo) {
					is.True(!strings.Contains(err.Error(), word))
				}
			})
		}
	}
}

// The text of a reply to AUTH is not kept, as it may contain parts of the login in any form.
func TestRepliesToAUTHAreNotKept(t *testing.T) {
	const password, echo = "Pa55-of-the-shop", "drow-terces"
	for name, reply := range map[string]string{
		"refused":              "535 5.7.8 bad " + echo,
		"refused in two lines": "535-5.7.8 bad\r\n535 5.7.8 " + echo,
		"later":                "454 4.7.0 " + echo,
		"closing":              "421 " + echo,
		"no reply":             echo,
		"unexpected":           "354 " + echo,
		"no base64":            "334 !" + echo,
	} {
		for _, mech := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5"} {
			for _, shown := range []bool{false, true} {
				t.Run(name+"/"+mech, func(t *testing.T) {
					is := is.New(t)
					r := &smtptest.Relay{Ext: []string{"AUTH " + mech}, Reply: func(verb, _ string) string {
						if verb != "AUTH" {
							return ""
						}
						return reply
					}}
					cr := Credentials{User: "ann", Password: fixed(password), Mechanism: mech}
					_, err := open(t.Context(), r, local, Config{Auth: cr.Auth(), AuthText: shown})
					is.True(err != nil) // the login fails
					has := strings.Contains(err.Error(), echo)
					is.True(shown || !has)                    // the text is not kept
					is.True(!shown || has || reply[0] == '3') // a probe shows the text
					if code := asError(err).Reply.Code; !strings.HasPrefix(name, "refused") {
						is.True(code != 535)
					} else {
						is.Equal(code, 535) // the code is kept
					}
				})
			}
		}
	}
}

// The challenge of SCRAM, or the error in place of a proof, may repeat a password of an earlier login.
func TestSCRAMErrorsHaveNoTextOfTheRelay(t *testing.T) {
	const echo = "drow-terces"
	for _, challenge := range []string{"e=" + echo, "i=9999999999" + echo, "i=" + echo, "r=x,s=" + echo + ",i=" + echo, echo} {
		is := is.New(t)
		r := &smtptest.Relay{Ext: []string{"AUTH SCRAM-SHA-256"}, Reply: func(verb, _ string) string {
			if verb != "AUTH" {
				return ""
			}
			return "334 " + base64.StdEncoding.EncodeToString([]byte(challenge))
		}}
		_, err := open(t.Context(), r, local, Config{Auth: Credentials{User: "ann", Password: fixed(secret)}.Auth()})
		is.True(err != nil)                           // no login
		is.True(!strings.Contains(err.Error(), echo)) // without text of the relay
	}
}

// A later session masks the credentials before its own login: in the greeting, and in the reply to EHLO.
func TestLaterSessionsMaskCredentials(t *testing.T) {
	const password = "Pa55-of-the-shop"
	for _, refused := range []string{"greeting", "EHLO", "mechanisms"} {
		is := is.New(t)
		cr := Credentials{User: "ann", Password: fixed(password), Mechanism: "PLAIN"}
		cfg := Config{Auth: cr.Auth(), Logins: new(Logins)}
		r := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}, Users: map[string]string{"ann": password}}
		_, err := open(t.Context(), r, local, cfg)
		is.NoErr(err) // the first session logs in
		again := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}}
		again.Reply = func(verb, _ string) string {
			if verb == map[string]string{"greeting": "CONNECT", "EHLO": "EHLO"}[refused] {
				return "554 not " + password
			}
			return ""
		}
		if refused == "mechanisms" {
			again.Ext = []string{"AUTH " + password}
		}
		_, err = open(t.Context(), again, local, cfg)
		is.True(err != nil)                               // the second session fails
		is.True(!strings.Contains(err.Error(), password)) // without the password in its error
		is.True(strings.Contains(err.Error(), mask))
	}
}

// The list of secrets does not grow with each new token.
func TestSecretsAreBounded(t *testing.T) {
	is := is.New(t)
	var s secrets
	for i := range 1000 {
		s.add("token-" + strings.Repeat("x", i))
	}
	is.Equal(len(s.texts), maxSecrets)
	is.Equal(s.masked("token-"+strings.Repeat("x", 999)), mask)
}
