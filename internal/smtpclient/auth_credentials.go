package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
)

// The mechanisms of this package that go-sasl has no names for.
const (
	scramPlus = "SCRAM-SHA-256-PLUS" // RFC 7677, bound to the TLS connection
	scramBare = "SCRAM-SHA-256"
	cramMD5   = "CRAM-MD5" // RFC 2195
	xoauth2   = "XOAUTH2"
)

// Credentials say who logs in to a relay, and how.
type Credentials struct {
	User string

	// Password gives the password, or with Token the token; nil: there is none, and the mechanism is EXTERNAL. With
	// again the last one was refused: if another one comes then, it is tried in the same session, once.
	Password func(ctx context.Context, again bool) (string, error)

	Mechanism string // the one to use, in any case; empty: the strongest that both sides have
	Token     bool   // Password gives an OAuth token, for OAUTHBEARER (RFC 7628) or XOAUTH2

	// Client makes the client of a mechanism, in upper case; nil, or a nil client: the one of this package, if it has
	// one. It is asked for each mechanism the relay offers, in the order of the relay, before any of this package is
	// considered.
	Client func(mech string) sasl.Client
}

// Auth returns the AuthFunc that logs in with the credentials. It may be used for many connections at the same time.
func (cr Credentials) Auth() AuthFunc { return cr.pick }

func (cr Credentials) pick(ctx context.Context, offer AuthOffer) (string, sasl.Client, error) {
	if mech, client := cr.ownClient(offer); client != nil {
		if offer.Refused != nil {
			return "", nil, errors.New("there are no other credentials")
		}
		return mech, client, nil
	}
	mech, err := cr.mechanism(offer)
	if err != nil {
		return "", nil, err
	}
	secret := ""
	if cr.Password != nil {
		if secret, err = cr.Password(ctx, offer.Refused != nil); err != nil {
			return "", nil, fmt.Errorf("get the password: %w", err)
		}
	}
	if before, ok := offer.Refused.(withSecret); offer.Refused != nil && (!ok || before.secret == secret) {
		return "", nil, errors.New("there are no other credentials")
	}
	client, err := newClient(mech, cr.User, secret, offer)
	return mech, withSecret{client, secret}, err
}

// withSecret is a client, and what it logs in with, to tell whether another one would do the same.
type withSecret struct {
	sasl.Client
	secret string
}

func (w withSecret) finish() error {
	if f, ok := w.Client.(finisher); ok {
		return f.finish()
	}
	return nil
}

// ownClient asks the function Client.
func (cr Credentials) ownClient(offer AuthOffer) (mech string, client sasl.Client) {
	if cr.Client == nil {
		return "", nil
	}
	for _, mech := range offer.Mechanisms {
		if cr.Mechanism != "" && !strings.EqualFold(cr.Mechanism, mech) {
			continue
		}
		if client := cr.Client(mech); client != nil {
			return mech, client
		}
	}
	return "", nil
}

// mechanism picks the strongest of this package's mechanisms that the relay offers.
func (cr Credentials) mechanism(offer AuthOffer) (string, error) {
	usable := cr.Mechanisms()
	for _, mech := range usable {
		if slices.Contains(offer.Mechanisms, mech) && (mech != scramPlus || canBind(offer.TLS)) {
			return mech, nil
		}
	}
	return "", fmt.Errorf("the relay offers AUTH with %s, not with %s",
		strings.Join(offer.Mechanisms, ", "), strings.Join(usable, ", "))
}

// Mechanisms are those that the credentials are for, the strongest first. What PLAIN and LOGIN send is protected by the
// connection, CRAM-MD5 wants the relay to know the password, and some that offer it do not.
func (cr Credentials) Mechanisms() []string {
	switch {
	case cr.Mechanism != "":
		return []string{strings.ToUpper(cr.Mechanism)}
	case cr.Password == nil:
		return []string{sasl.External}
	case cr.Token:
		return []string{sasl.OAuthBearer, xoauth2}
	}
	return []string{scramPlus, scramBare, sasl.Plain, sasl.Login, cramMD5}
}
