package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

const secret = "correct horse"

func TestAUTH(t *testing.T) {
	for _, test := range []struct {
		name   string
		offer  string
		auth   AuthFunc
		answer string // scripted reply to AUTH
		err    string // part of the error; "" for none
		code   int
		last   string // start of the last command
	}{
		{"PLAIN", "AUTH LOGIN PLAIN", Plain("ann", secret), "", "", 0, "DATA"},
		{"CRAM-MD5", "AUTH CRAM-MD5", CRAMMD5("ann", secret), "", "", 0, "DATA"},
		{"lower case", "auth plain", Plain("ann", secret), "", "", 0, "DATA"},
		{"wrong password", "AUTH PLAIN", Plain("ann", "x"), "", "auth: 535 5.7.8", 535, "AUTH PLAIN "},
		{"wrong secret", "AUTH CRAM-MD5", CRAMMD5("ann", "x"), "", "auth: 535 5.7.8", 535, "AUTH CRAM-MD5"},
		{"not offered", "SIZE", Plain("ann", secret), "", "does not offer AUTH", 0, "EHLO"},
		{"other mechanism", "AUTH LOGIN X", Plain("ann", secret), "", "with LOGIN, X, not with PLAIN", 0, "EHLO"},
		{"temporary", "AUTH PLAIN", Plain("ann", secret), "454 4.7.0 later", "auth: 454 4.7.0", 454, "AUTH PLAIN "},
		{"421", "AUTH PLAIN", Plain("ann", secret), "421 bye", "auth: 421", 421, "AUTH PLAIN "},
		{"other yes", "AUTH PLAIN", Plain("ann", secret), "250 ok", "", 0, "DATA"},
		{"close", "AUTH PLAIN", Plain("ann", secret), "close", "hung up", 0, "AUTH PLAIN "},
		{"stray challenge", "AUTH PLAIN", Plain("ann", secret), "334 ", "unexpected server challenge", 0, "AUTH PLAIN "},
		{"bad base64", "AUTH CRAM-MD5", CRAMMD5("ann", secret), "334 ???", "not base64", 0, "AUTH CRAM-MD5"},
		{"endless", "AUTH CRAM-MD5", CRAMMD5("ann", secret), "334 YQ==", "more than 10 challenges", 0, "AUTH CRAM-MD5"},
		{"empty initial response", "AUTH X", own("X", []byte{}), "235 ok", "", 0, "DATA"},
		{"mechanism not offered", "AUTH Y", own("X", nil), "", "does not offer AUTH with", 0, "EHLO"},
		{"client that fails", "AUTH X", own("X", nil), "334 ", "answer the relay's challenge: no more", 0, "AUTH X"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Ext: []string{test.offer}, Users: map[string]string{"ann": secret},
				Reply: script(map[string]string{"AUTH": test.answer})}
			c, err := open(t.Context(), r, local, Config{Auth: test.auth})
			if test.err == "" {
				is.NoErr(err)                                                     // logged in
				is.Equal(c.Transact(t.Context(), letter("a@x.test"))[0].Err, nil) // mail can go
				is.Equal(r.Messages()[0].User == "ann", test.answer == "")        // with the user of the login
			} else {
				is.Equal(asError(err).Op, attempt.OpAuth)        // the step is named
				is.Equal(asError(err).Reply.Code, test.code)     // with the reply
				is.True(strings.Contains(err.Error(), test.err)) // with the reason
				is.True(!strings.Contains(err.Error(), secret))  // without secrets
			}
			commands := r.Commands()
			is.True(strings.HasPrefix(commands[len(commands)-1], test.last)) // no further line is sent
		})
	}
}

// own is a mechanism that fails at the first challenge.
func own(mech string, initial []byte) AuthFunc {
	return func(context.Context, AuthOffer) (string, sasl.Client, error) {
		return mech, ownClient{mech, initial}, nil
	}
}

type ownClient struct {
	mech    string
	initial []byte
}

func (c ownClient) Start() (string, []byte, error) { return c.mech, c.initial, nil }

func (c ownClient) Next([]byte) ([]byte, error) { return nil, errors.New("no more") }

func TestInitialResponse(t *testing.T) {
	for want, initial := range map[string][]byte{"AUTH X": nil, "AUTH X =": {}, "AUTH X YQ==": []byte("a")} {
		is := is.New(t)
		r := &smtptest.Relay{Ext: []string{"AUTH X"}, Reply: script(map[string]string{"AUTH": "235 ok"})}
		_, err := open(t.Context(), r, local, Config{Auth: own("X", initial)})
		is.NoErr(err)                   // logged in
		is.Equal(r.Commands()[1], want) // none, empty, and non-empty are distinct (RFC 4954)
	}
}

func TestChallengesAreBounded(t *testing.T) {
	is := is.New(t)
	asked := 0
	r := &smtptest.Relay{Ext: []string{"AUTH CRAM-MD5"}, Reply: func(verb, _ string) string {
		if verb != "AUTH" {
			return ""
		}
		asked++
		return "334 YQ=="
	}}
	_, err := open(t.Context(), r, local, Config{Auth: CRAMMD5("ann", secret)})
	is.Equal(asError(err).Op, attempt.OpAuth) // the login fails
	is.Equal(asked, maxChallenges+1)          // after a number of challenges
}

func TestCancelledAUTH(t *testing.T) {
	is := is.New(t)
	var lines []string
	r := &smtptest.Relay{Ext: []string{"AUTH X"}, Reply: func(verb, arg string) string {
		if verb != "AUTH" {
			return ""
		}
		lines = append(lines, arg)
		return "334 !"
	}}
	_, err := open(t.Context(), r, local, Config{Auth: own("X", nil)})
	is.Equal(asError(err).Op, attempt.OpAuth) // it fails
	is.Equal(lines, []string{"X", "*"})       // a challenge without a response is answered with *
}

// Credentials are sent only if no third party can read the connection.
func TestCredentialsNeedAPrivateLine(t *testing.T) {
	server, pool := serverTLS(t, "relay.test")
	trusted := &tls.Config{RootCAs: pool}
	pinned := func(err error) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return err }}
	}
	for _, test := range []struct {
		name, addr string
		cfg        Config
		op         attempt.Op // "" if it succeeds
	}{
		{"clear", remote, Config{TLS: TLSNone}, attempt.OpAuth},
		{"clear, local", local, Config{TLS: TLSNone}, ""},
		{"verified", remote, Config{Host: "relay.test", TLSConfig: trusted}, ""},
		{"not verified", remote, Config{Host: "relay.test", TLSConfig: &tls.Config{InsecureSkipVerify: true}}, attempt.OpAuth},
		{"not verified, local", local, Config{}, ""},
		{"pinned", remote, Config{Host: "relay.test", TLSConfig: pinned(nil)}, ""},
		{"pinned, another", remote, Config{Host: "relay.test", TLSConfig: pinned(errPin)}, attempt.OpTLS},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{TLS: server, Ext: []string{"STARTTLS", "AUTH PLAIN"}, Users: map[string]string{"ann": secret}}
			test.cfg.Auth = Plain("ann", secret)
			_, err := open(t.Context(), r, test.addr, test.cfg)
			is.Equal(asError(err).Op, test.op) // the expected error
			sent := strings.Contains(strings.Join(r.Commands(), "\n"), "AUTH")
			is.Equal(sent, test.op == "") // no credentials after a failure
		})
	}
}

func TestNoMailWithoutAUTHAfterHELO(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Reply: script(map[string]string{"EHLO": "502 what"})}
	_, err := open(t.Context(), r, local, Config{Auth: Plain("ann", secret)})
	is.Equal(asError(err).Op, attempt.OpAuth)                // it fails
	is.True(strings.Contains(err.Error(), "does not offer")) // with the reason
}

// Plain logs in with PLAIN (RFC 4616).
func Plain(user, password string) AuthFunc {
	return Credentials{User: user, Password: fixed(password), Mechanism: sasl.Plain}.Auth()
}

// CRAMMD5 logs in with CRAM-MD5 (RFC 2195).
func CRAMMD5(user, secret string) AuthFunc {
	return Credentials{User: user, Password: fixed(secret), Mechanism: cramMD5}.Auth()
}

func fixed(password string) func(context.Context, bool) (string, error) {
	return func(context.Context, bool) (string, error) { return password, nil }
}
