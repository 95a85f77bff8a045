package smtpclient

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
	"github.com/xdg-go/scram"
)

func decode64(text string) string {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "not base64: " + text
	}
	return string(plain)
}

// scramServer returns a SCRAM server with the user ann.
func scramServer(t *testing.T) *scram.Server {
	t.Helper()
	client, err := scram.SHA256.NewClient("ann", secret, "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "some salt", Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		if user != "ann" {
			return scram.StoredCredentials{}, errors.New("unknown")
		}
		return stored, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// scramRelay replies to AUTH with SCRAM-SHA-256. With early, it accepts the login before the server has proved its
// knowledge.
func scramRelay(t *testing.T, early bool) *smtptest.Relay {
	talk, steps := scramServer(t).NewConversation(), 0
	return &smtptest.Relay{Ext: []string{"AUTH PLAIN SCRAM-SHA-256"}, Reply: func(verb, arg string) string {
		if verb != "AUTH" {
			return ""
		}
		if steps++; steps == 3 {
			return "235 welcome"
		}
		challenge, err := talk.Step(decode64(arg[strings.LastIndexByte(arg, ' ')+1:]))
		switch {
		case err != nil:
			return "535 5.7.8 no"
		case early && steps == 2:
			return "235 welcome"
		}
		return "334 " + base64.StdEncoding.EncodeToString([]byte(challenge))
	}}
}

func TestSCRAM(t *testing.T) {
	for _, test := range []struct {
		name, password string
		early          bool
		want           string // part of the error
	}{
		{"right", secret, false, ""},
		{"wrong", "x", false, "535"},
		{"no proof", secret, true, "has not proved"},
		{"not allowed", "a\x00b", false, "characters that SCRAM does not allow"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			r := scramRelay(t, test.early)
			_, err := open(t.Context(), r, local, Config{Auth: Credentials{User: "ann", Password: fixed(test.password)}.Auth()})
			if test.want == "" {
				is.NoErr(err)                                                      // logged in
				is.True(strings.HasPrefix(r.Commands()[1], "AUTH SCRAM-SHA-256 ")) // the strongest mechanism offered
				is.True(!strings.Contains(decode64(r.Commands()[1][19:]), secret)) // the password is not sent
				return
			}
			is.Equal(asError(err).Op, attempt.OpAuth)         // the login fails
			is.True(strings.Contains(err.Error(), test.want)) // with the reason
			is.True(!strings.Contains(err.Error(), "a\x00b")) // and without the password
		})
	}
}

// SCRAM-SHA-256-PLUS is valid over the same TLS connection only.
func TestSCRAMBoundToTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		is := is.New(t)
		cfg, pool := serverTLS(t, "relay.test")
		states := func() (client, server tls.ConnectionState) {
			a, b := pipe(t)
			peer := tls.Server(b, cfg)
			go func() { _ = peer.Handshake() }()
			mine := tls.Client(a, &tls.Config{RootCAs: pool, ServerName: "relay.test", MaxVersion: version})
			is.NoErr(mine.Handshake())
			is.NoErr(peer.Handshake())
			return mine.ConnectionState(), peer.ConnectionState()
		}
		mine, theirs := states()
		_, others := states()
		is.True(canBind(&mine)) // the TLS connection can be bound to
		for state, good := range map[*tls.ConnectionState]bool{&theirs: true, &others: false} {
			binding, err := bindingTo(state)
			is.NoErr(err) // the relay, too
			client, err := newClient(scramPlus, "ann", secret, AuthOffer{TLS: &mine})
			is.NoErr(err) // made
			talk := scramServer(t).NewConversationWithChannelBindingRequired(binding)
			_, response, err := client.Start()
			is.NoErr(err) // started
			challenge, err := talk.Step(string(response))
			is.NoErr(err) // understood
			response, err = client.Next([]byte(challenge))
			is.NoErr(err) // answered
			_, err = talk.Step(string(response))
			is.Equal(err == nil, good) // only the relay at the other end of the TLS connection accepts it
		}
	}
	is := is.New(t)
	is.True(!canBind(nil)) // not without TLS
}

func TestStrongestMechanism(t *testing.T) {
	bound := &tls.ConnectionState{Version: tls.VersionTLS12, TLSUnique: []byte("x")}
	resumed := &tls.ConnectionState{Version: tls.VersionTLS12}
	password := Credentials{User: "u", Password: fixed("p")}
	token := Credentials{User: "u", Password: fixed("p"), Token: true}
	own := Credentials{User: "u", Password: fixed("p"), Client: func(mech string) sasl.Client {
		if mech == "X" {
			return ownClient{}
		}
		return nil
	}}
	for _, test := range []struct {
		name  string
		cr    Credentials
		offer string
		state *tls.ConnectionState
		want  string
	}{
		{"bound", password, "PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", bound, "SCRAM-SHA-256-PLUS"},
		{"nothing to bind to", password, "PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", resumed, "SCRAM-SHA-256"},
		{"no TLS", password, "SCRAM-SHA-256-PLUS SCRAM-SHA-256", nil, "SCRAM-SHA-256"},
		{"not SHA-1", password, "SCRAM-SHA-1 LOGIN PLAIN", bound, "PLAIN"},
		{"login", password, "CRAM-MD5 LOGIN", bound, "LOGIN"},
		{"cram", password, "CRAM-MD5 XOAUTH2", bound, "CRAM-MD5"},
		{"password is no token", password, "XOAUTH2 OAUTHBEARER EXTERNAL", bound, ""},
		{"token", token, "PLAIN XOAUTH2 OAUTHBEARER", bound, "OAUTHBEARER"},
		{"old token", token, "PLAIN XOAUTH2", bound, "XOAUTH2"},
		{"token is no password", token, "PLAIN LOGIN", bound, ""},
		{"certificate", Credentials{User: "u"}, "PLAIN EXTERNAL", bound, "EXTERNAL"},
		{"forced", Credentials{User: "u", Password: fixed("p"), Mechanism: "login"}, "PLAIN LOGIN", bound, "LOGIN"},
		{"forced, not offered", Credentials{User: "u", Password: fixed("p"), Mechanism: "LOGIN"}, "PLAIN", bound, ""},
		{"unknown", Credentials{User: "u", Password: fixed("p"), Mechanism: "Y"}, "Y", bound, ""},
		{"own", own, "PLAIN X", bound, "X"},
		{"own, not offered", own, "PLAIN Y", bound, "PLAIN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			mech, client, err := test.cr.Auth()(t.Context(), AuthOffer{Mechanisms: strings.Fields(test.offer), TLS: test.state})
			is.Equal(err == nil, test.want != "") // whether there is a usable mechanism
			if err == nil {
				is.Equal(mech, test.want) // the strongest
				is.True(client != nil)    // with a client
			}
		})
	}
}

// talkRelay replies to AUTH with a list of lines, and records the lines of the client.
func talkRelay(mechs string, got *[]string, answers ...string) *smtptest.Relay {
	return &smtptest.Relay{Ext: []string{"AUTH " + mechs}, Reply: func(verb, arg string) string {
		if verb != "AUTH" || len(*got) == len(answers) {
			return ""
		}
		*got = append(*got, arg)
		return answers[len(*got)-1]
	}}
}

func TestMechanismsOnTheWire(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	for _, test := range []struct {
		name    string
		cr      Credentials
		mechs   string
		answers []string
		want    []string // lines of the client, decoded
		err     string
	}{
		{"LOGIN with odd prompts", Credentials{User: "u", Password: fixed("p")}, "LOGIN",
			[]string{"334 " + encode([]byte("who?")), "334 ", "235 ok"}, []string{"LOGIN", "u", "p"}, ""},
		{"LOGIN that goes on", Credentials{User: "u", Password: fixed("p")}, "LOGIN",
			[]string{"334 ", "334 ", "334 "}, []string{"LOGIN", "u", "p"}, "unexpected server challenge"},
		{"XOAUTH2", Credentials{User: "u@x", Password: fixed("tok"), Token: true}, "XOAUTH2",
			[]string{"235 ok"}, []string{"XOAUTH2 user=u@x\x01auth=Bearer tok\x01\x01"}, ""},
		{"XOAUTH2 refused", Credentials{User: "u@x", Password: fixed("tok"), Token: true}, "XOAUTH2",
			[]string{"334 " + encode([]byte(`{"status":"401"}`)), "535 5.7.8 no"}, []string{"XOAUTH2 user=u@x\x01auth=Bearer tok\x01\x01", ""}, "535 5.7.8"},
		{"OAUTHBEARER refused", Credentials{User: "u,=", Password: fixed("tok"), Token: true}, "OAUTHBEARER",
			[]string{"334 " + encode([]byte(`{"status":"401"}`)), "535 5.7.8 no"}, []string{"OAUTHBEARER n,a=u=2C=3D,\x01auth=Bearer tok\x01\x01", "\x01"}, "535 5.7.8"},
		{"EXTERNAL", Credentials{User: "u"}, "EXTERNAL", []string{"235 ok"}, []string{"EXTERNAL u"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			var got []string
			_, err := open(t.Context(), talkRelay(test.mechs, &got, test.answers...), local, Config{Auth: test.cr.Auth()})
			is.Equal(err == nil, test.err == "") // logged in, or not
			if err != nil {
				is.True(strings.Contains(err.Error(), test.err)) // with the reason
				is.True(!strings.Contains(err.Error(), "tok"))   // and without secrets
			}
			for i, line := range got {
				mech, initial, ok := strings.Cut(line, " ")
				switch {
				case ok:
					got[i] = mech + " " + decode64(initial)
				case i > 0:
					got[i] = decode64(line)
				}
			}
			is.Equal(got, test.want) // as the mechanism wants it
		})
	}
}

// After a refusal, the password is asked for once more, and tried if it differs.
func TestRefusedPasswordIsAskedForAgain(t *testing.T) {
	for name, test := range map[string]struct {
		second string
		fails  error
		tries  int
		ok     bool
	}{
		"renewed":   {secret, nil, 2, true},
		"the same":  {"old", nil, 1, false},
		"wrong too": {"other", nil, 2, false},
		"failing":   {"", errors.New("no such command"), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var asked []bool
			cr := Credentials{User: "ann", Password: func(_ context.Context, again bool) (string, error) {
				if asked = append(asked, again); again {
					return test.second, test.fails
				}
				return "old", nil
			}}
			r := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}, Users: map[string]string{"ann": secret}}
			_, err := open(t.Context(), r, local, Config{Auth: cr.Auth()})
			is.Equal(asked, []bool{false, true})      // asked twice, no more
			is.Equal(err == nil, test.ok)             // logged in or not
			is.Equal(len(r.Commands())-1, test.tries) // the same password is not tried twice
			if !test.ok {
				is.Equal(asError(err).Reply.Code, 535) // the error is the refusal
			}
		})
	}
}

// A relay cannot make the daemon spend much time on the derivation of a key.
func TestSCRAMIterationsAreLimited(t *testing.T) {
	for _, count := range []string{"1000001", "2147483647", "99999999999999999999", "-1", "x"} {
		t.Run(count, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Ext: []string{"AUTH SCRAM-SHA-256"}, Reply: func(verb, arg string) string {
				first := decode64(strings.TrimPrefix(arg, "SCRAM-SHA-256 "))
				_, nonce, ok := strings.Cut(first, "r=")
				if verb != "AUTH" || !ok {
					return ""
				}
				return "334 " + base64.StdEncoding.EncodeToString([]byte("r="+nonce+"x,s=c2FsdA==,i="+count))
			}}
			_, err := open(t.Context(), r, local, Config{Auth: Credentials{User: "ann", Password: fixed(secret)}.Auth()})
			is.Equal(asError(err).Op, attempt.OpAuth)
			is.True(strings.Contains(err.Error(), "iterations of the key derivation"))
		})
	}
}
