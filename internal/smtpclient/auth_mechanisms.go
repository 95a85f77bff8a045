package smtpclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/smtp"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// newClient makes the client of a mechanism.
func newClient(mech, user, secret string, offer AuthOffer) (sasl.Client, error) {
	switch mech {
	case scramPlus, scramBare:
		return newSCRAM(mech, user, secret, offer.TLS)
	case sasl.Plain:
		return sasl.NewPlainClient("", user, secret), nil
	case sasl.Login:
		return &byTurn{mech: mech, answers: []string{user, secret}}, nil
	case cramMD5:
		return netAuth{smtp.CRAMMD5Auth(user, secret)}, nil
	case sasl.OAuthBearer: // a refusal comes as a challenge, which has to be answered before the 535 comes
		initial := "n,a=" + saslName(user) + ",\x01auth=Bearer " + secret + "\x01\x01"
		return &byTurn{mech: mech, initial: initial, answers: []string{"\x01"}}, nil
	case xoauth2: // likewise
		initial := "user=" + user + "\x01auth=Bearer " + secret + "\x01\x01"
		return &byTurn{mech: mech, initial: initial, answers: []string{""}}, nil
	case sasl.External:
		return sasl.NewExternalClient(user), nil
	}
	return nil, fmt.Errorf("the mechanism %q is not known here", mech)
}

// byTurn is a mechanism whose answers do not depend on what the relay asks. The prompts of LOGIN, for one, are worded in
// many ways, and their order is always the same.
type byTurn struct {
	mech    string
	initial string // "" for none
	answers []string
}

func (b *byTurn) Start() (mech string, initial []byte, err error) {
	if b.initial == "" {
		return b.mech, nil, nil
	}
	return b.mech, []byte(b.initial), nil
}

func (b *byTurn) Next([]byte) ([]byte, error) {
	if len(b.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	answer := b.answers[0]
	b.answers = b.answers[1:]
	return []byte(answer), nil
}

// saslName escapes what ends a name (RFC 5801, section 4).
func saslName(name string) string {
	var out []byte
	for i := range len(name) {
		switch name[i] {
		case ',':
			out = append(out, "=2C"...)
		case '=':
			out = append(out, "=3D"...)
		default:
			out = append(out, name[i])
		}
	}
	return string(out)
}

// netAuth makes a sasl.Client of a mechanism of net/smtp.
type netAuth struct{ auth smtp.Auth }

func (a netAuth) Start() (mech string, ir []byte, err error) { return a.auth.Start(&smtp.ServerInfo{}) }

func (a netAuth) Next(challenge []byte) ([]byte, error) { return a.auth.Next(challenge, true) }

// scramClient is SCRAM (RFC 5802), in which the relay proves that it knows the password too.
type scramClient struct {
	mech string
	talk *scram.ClientConversation
}

func newSCRAM(mech, user, password string, state *tls.ConnectionState) (sasl.Client, error) {
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil { // it holds the password
		return nil, errors.New("the user or the password has characters that SCRAM does not allow")
	}
	if mech == scramBare {
		return &scramClient{mech, client.NewConversation()}, nil
	}
	binding, err := bindingTo(state)
	if err != nil {
		return nil, fmt.Errorf("bind %s to TLS: %w", mech, err)
	}
	return &scramClient{mech, client.NewConversationWithChannelBinding(binding)}, nil
}

func (s *scramClient) Start() (mech string, initial []byte, err error) {
	first, err := s.talk.Step("")
	return s.mech, []byte(first), err
}

func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	response, err := s.talk.Step(string(challenge))
	return []byte(response), err
}

// finish refuses a relay that says yes before it has proved anything.
func (s *scramClient) finish() error {
	if !s.talk.Valid() {
		return errors.New("the relay has not proved that it knows the password")
	}
	return nil
}

// canBind tells whether SCRAM can be bound to the TLS connection.
func canBind(state *tls.ConnectionState) bool {
	binding, err := bindingTo(state)
	return err == nil && binding.IsSupported()
}

// bindingTo ties SCRAM to the TLS connection: as RFC 9266 wants it for TLS 1.3, and RFC 5929 for what was before.
func bindingTo(state *tls.ConnectionState) (scram.ChannelBinding, error) {
	switch {
	case state == nil:
		return scram.ChannelBinding{}, errors.New("the session has no TLS")
	case state.Version >= tls.VersionTLS13:
		return scram.NewTLSExporterBinding(state)
	case len(state.TLSUnique) == 0: // a resumed session, for one
		return scram.ChannelBinding{}, errors.New("the session has nothing to bind to")
	}
	return scram.NewTLSUniqueBinding(state.TLSUnique), nil
}
