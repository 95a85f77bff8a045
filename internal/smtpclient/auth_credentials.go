package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
)

// The mechanisms without a constant in go-sasl.
const (
	scramPlus = "SCRAM-SHA-256-PLUS" // RFC 7677, with channel binding to TLS
	scramBare = "SCRAM-SHA-256"
	cramMD5   = "CRAM-MD5" // RFC 2195
	xoauth2   = "XOAUTH2"
)

// Credentials are the settings of a login.
type Credentials struct {
	User string

	// Password returns the password, or the token if Token is set. again is set after the relay refused the last
	// password; another password is then tried once in the same session. Nil: no password, mechanism EXTERNAL.
	Password func(ctx context.Context, again bool) (string, error)

	Mechanism string // mechanism to use, in any case; empty: the strongest common mechanism
	Token     bool   // Password returns an OAuth token, for OAUTHBEARER (RFC 7628) or XOAUTH2

	// Client returns a SASL client for a mechanism (in upper case), or nil. Client is called for each mechanism that
	// the relay offers, in the order of the relay, before the clients of the package are considered. Nil: only the
	// clients of the package are used.
	Client func(mech string) sasl.Client
}

// Auth returns an AuthFunc for the credentials. Connections may share the AuthFunc.
func (cr Credentials) Auth() AuthFunc { return cr.pick }

// pick is the AuthFunc of the credentials.
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
	if offer.Choose {
		return mech, nil, nil
	}
	secret := ""
	if cr.Password != nil {
		if secret, err = cr.Password(ctx, offer.Refused != nil || offer.Renew); err != nil {
			return "", nil, fmt.Errorf("get the password: %w", err)
		}
	}
	if before, ok := offer.Refused.(withSecret); offer.Refused != nil && (!ok || before.secret == secret) {
		return "", nil, errors.New("there are no other credentials")
	}
	client, err := newClient(mech, cr.User, secret, offer)
	return mech, withSecret{client, cr.User, secret}, err
}

// withSecret is a SASL client with the secret of the login. A second login with the same secret is pointless.
type withSecret struct {
	sasl.Client
	user, secret string
}

func (w withSecret) finish() error {
	if f, ok := w.Client.(finisher); ok {
		return f.finish()
	}
	return nil
}

// ownClient returns the first client of the function Client.
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

// mechanism returns the strongest mechanism that the relay offers.
func (cr Credentials) mechanism(offer AuthOffer) (string, error) {
	usable := cr.Mechanisms()
	for _, failed := range [][]string{offer.Failed, nil} {
		for _, mech := range usable {
			offered := slices.Contains(offer.Mechanisms, mech) && (mech != scramPlus || canBind(offer.TLS))
			if offered && !slices.Contains(failed, mech) {
				return mech, nil
			}
		}
	}
	return "", fmt.Errorf("the relay offers AUTH with %s, not with %s",
		strings.Join(offer.Mechanisms, ", "), strings.Join(usable, ", "))
}

// Mechanisms returns the mechanisms for the credentials, the strongest first. TLS protects the password of PLAIN and
// LOGIN. CRAM-MD5 is last: the relay must store the password in the clear, and some relays offer CRAM-MD5 without.
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
