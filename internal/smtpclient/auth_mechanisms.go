package smtpclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/smtp"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// newClient returns a SASL client of the package.
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
	case sasl.OAuthBearer: // a refusal is a challenge; the 535 follows the response
		initial := "n,a=" + saslName(user) + ",\x01auth=Bearer " + secret + "\x01\x01"
		return &byTurn{mech: mech, initial: initial, answers: []string{"\x01"}}, nil
	case xoauth2: // same as OAUTHBEARER
		initial := "user=" + user + "\x01auth=Bearer " + secret + "\x01\x01"
		return &byTurn{mech: mech, initial: initial, answers: []string{""}}, nil
	case sasl.External:
		return sasl.NewExternalClient(user), nil
	}
	return nil, fmt.Errorf("unknown AUTH mechanism %q", mech)
}

// byTurn is a mechanism with fixed responses. Relays word the prompts of LOGIN differently, but the order is always the
// same.
type byTurn struct {
	mech    string
	initial string // initial response; empty: none
	answers []string
}

// Start returns the initial response.
func (b *byTurn) Start() (mech string, initial []byte, err error) {
	if b.initial == "" {
		return b.mech, nil, nil
	}
	return b.mech, []byte(b.initial), nil
}

// Next returns the next response.
func (b *byTurn) Next([]byte) ([]byte, error) {
	if len(b.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	answer := b.answers[0]
	b.answers = b.answers[1:]
	return []byte(answer), nil
}

// saslName escapes a name for a GS2 header (RFC 5801, section 4).
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

// netAuth adapts a mechanism of net/smtp to sasl.Client.
type netAuth struct{ auth smtp.Auth }

// Start returns the initial response.
func (a netAuth) Start() (mech string, ir []byte, err error) { return a.auth.Start(&smtp.ServerInfo{}) }

// Next returns the response to a challenge.
func (a netAuth) Next(challenge []byte) ([]byte, error) { return a.auth.Next(challenge, true) }

// scramClient is a client for SCRAM (RFC 5802). The relay proves knowledge of the password, too.
type scramClient struct {
	mech string
	talk *scram.ClientConversation
}

func newSCRAM(mech, user, password string, state *tls.ConnectionState) (sasl.Client, error) {
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil { // the error holds the password
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

// Start returns the client-first message.
func (s *scramClient) Start() (mech string, initial []byte, err error) {
	first, err := s.talk.Step("")
	return s.mech, []byte(first), err
}

// maxIterations is the limit for the iterations that a relay may ask for. The derivation of a key takes no deadline:
// more would stop the daemon for minutes. RFC 7677 demands 4096, servers use up to some 100,000.
const maxIterations = 1_000_000

// Next returns the response to a challenge.
func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	for field := range strings.SplitSeq(string(challenge), ",") {
		count, ok := strings.CutPrefix(field, "i=")
		if n, err := strconv.ParseUint(count, 10, 64); ok && (err != nil || n > maxIterations) {
			return nil, fmt.Errorf("the relay asks for more than %d iterations of the key derivation", maxIterations)
		}
	}
	response, err := s.talk.Step(string(challenge))
	if err != nil { // the error has parts of the challenge
		return nil, errors.New("the challenge is wrong, or the relay has refused the login")
	}
	return []byte(response), nil
}

// finish fails if the relay accepted the login without a proof.
func (s *scramClient) finish() error {
	if !s.talk.Valid() {
		return errors.New("the relay has not proved that it knows the password")
	}
	return nil
}

// canBind reports whether SCRAM can use channel binding.
func canBind(state *tls.ConnectionState) bool {
	binding, err := bindingTo(state)
	return err == nil && binding.IsSupported()
}

// bindingTo returns the channel binding of a TLS connection: RFC 9266 for TLS 1.3, RFC 5929 for older versions.
func bindingTo(state *tls.ConnectionState) (scram.ChannelBinding, error) {
	switch {
	case state == nil:
		return scram.ChannelBinding{}, errors.New("the session has no TLS")
	case state.Version >= tls.VersionTLS13:
		return scram.NewTLSExporterBinding(state)
	case len(state.TLSUnique) == 0: // for example, a resumed session
		return scram.ChannelBinding{}, errors.New("the TLS session has no channel binding")
	}
	return scram.NewTLSUniqueBinding(state.TLSUnique), nil
}
