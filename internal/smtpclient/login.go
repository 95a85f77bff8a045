package smtpclient

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-sasl"

	"github.com/unbit/spoolgore/internal/attempt"
)

// AuthFunc selects a mechanism from the offer of the relay and returns a SASL client for one login. An error is the
// reason for no login. After a 535, AuthFunc is called once more, with offer.Refused set; an error then keeps the 535.
type AuthFunc func(ctx context.Context, offer AuthOffer) (mech string, client sasl.Client, err error)

// AuthOffer holds the mechanisms that a relay offers for AUTH.
type AuthOffer struct {
	Mechanisms []string             // in upper case, in the order of the relay
	TLS        *tls.ConnectionState // nil: no TLS
	Refused    sasl.Client          // client with the credentials refused in the same session; nil: none refused
}

// maxChallenges is the limit for challenges of the relay.
const maxChallenges = 10

// A finisher is a SASL client that checks the acceptance of the relay.
type finisher interface{ finish() error }

// A login is the AUTH exchange (RFC 4954) of a session.
type login struct {
	wire *wire
	auth AuthFunc
	mech string // mechanism of the last AUTH; empty: no AUTH
}

// run logs in, twice if the relay refused the first credentials and there are others.
func (l *login) run(offer AuthOffer) *Error {
	client, failed := l.try(offer)
	if failed == nil || failed.Reply.Code != 535 || l.wire.closed {
		return failed
	}
	offer.Refused = client
	if _, again := l.try(offer); again == nil || again.Reply.Code != 0 || l.wire.closed {
		return again
	}
	return failed
}

// try logs in once and returns the SASL client of the login.
func (l *login) try(offer AuthOffer) (sasl.Client, *Error) {
	mech, client, err := l.auth(l.wire.ctx, offer)
	if err != nil {
		return nil, authError(err)
	}
	if !slices.Contains(offer.Mechanisms, mech) {
		return nil, authError(fmt.Errorf("the relay does not offer AUTH with %q", mech))
	}
	l.mech = mech
	_, initial, err := client.Start()
	if err != nil {
		return nil, authError(fmt.Errorf("start %s: %w", mech, err))
	}
	command := []string{"AUTH ", mech}
	switch {
	case initial != nil && len(initial) == 0:
		command = append(command, " =")
	case initial != nil:
		command = append(command, " ", base64.StdEncoding.EncodeToString(initial))
	}
	if failed := l.exchange(client, command); failed != nil {
		return client, failed
	}
	if f, ok := client.(finisher); ok {
		if err := f.finish(); err != nil {
			return client, authError(err)
		}
	}
	return client, nil
}

// exchange sends the AUTH command and the responses to the challenges of the relay.
func (l *login) exchange(client sasl.Client, line []string) *Error {
	for range maxChallenges + 1 {
		reply, failed := l.wire.ask(attempt.OpAuth, []int{235, 334}, line...)
		if failed != nil || reply.Code == 235 {
			return failed
		}
		challenge, err := base64.StdEncoding.DecodeString(reply.Text)
		if err != nil {
			return l.cancel(errors.New("the relay's challenge is not base64"))
		}
		response, err := client.Next(challenge)
		if err != nil {
			return l.cancel(fmt.Errorf("answer the relay's challenge: %w", err))
		}
		line = []string{base64.StdEncoding.EncodeToString(response)}
	}
	return authError(fmt.Errorf("the relay sent more than %d challenges", maxChallenges))
}

// cancel ends the exchange with "*" (RFC 4954, section 4) and returns the error for err.
func (l *login) cancel(err error) *Error {
	_, _ = l.wire.ask(attempt.OpAuth, []int{2, 4, 5}, "*")
	return authError(err)
}

func authError(err error) *Error { return &Error{Op: attempt.OpAuth, Err: err} }
