package smtpclient

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	Failed     []string             // mechanisms that failed before: another mechanism is preferred
	Choose     bool                 // only the mechanism is wanted, not the client
	Renew      bool                 // the secret of the last login was refused, and may have expired
}

// maxChallenges is the limit for challenges of the relay.
const maxChallenges = 10

// A finisher is a SASL client that checks the acceptance of the relay.
type finisher interface{ finish() error }

// A login is the AUTH exchange (RFC 4954) of a session.
type login struct {
	wire       *wire
	auth       AuthFunc
	logins     *Logins
	mech       string // mechanism of the last AUTH; empty: no AUTH
	challenges int    // challenges of the last AUTH
}

// run logs in when the Logins allow a login, and records the result.
func (l *login) run(offer AuthOffer) (err *Error) {
	if offer.Failed, offer.Renew, err = l.logins.begin(l.wire.ctx); err != nil {
		return err
	}
	err = l.twice(offer)
	others := false
	if err != nil && l.mech != "" { // does another mechanism remain?
		rest := offer
		rest.Failed, rest.Refused, rest.Choose = append(slices.Clone(offer.Failed), l.mech), nil, true
		mech, _, failed := l.auth(l.wire.ctx, rest)
		others = failed == nil && !slices.Contains(rest.Failed, mech)
	}
	l.logins.end(l.mech, others, completes(l.mech, l.challenges), err)
	return err
}

// mayHaveExpired reports whether a refused login is tried again in the session if there is another secret: servers
// report an expired token with several codes.
func mayHaveExpired(r attempt.Reply) bool { return slices.Contains([]int{535, 530, 454}, r.Code) }

// twice logs in, twice if the relay refused the first credentials and there are others.
func (l *login) twice(offer AuthOffer) *Error {
	client, failed := l.try(offer)
	if failed == nil || !mayHaveExpired(failed.Reply) || l.wire.closed {
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
	l.mech, l.challenges = mech, 0
	if with, ok := client.(withSecret); ok {
		for _, secret := range []string{with.secret, "\x00" + with.user + "\x00" + with.secret} { // as PLAIN has them
			l.wire.in.hide(secret)
			l.logins.keep(secret)
		}
	}
	_, initial, err := client.Start()
	l.wire.in.hide(string(initial))
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
	if failed := l.exchange(client, command, initial); failed != nil {
		return client, failed
	}
	if f, ok := client.(finisher); ok {
		if err := f.finish(); err != nil {
			return client, authError(err)
		}
	}
	return client, nil
}

// exchange sends the AUTH command and the responses to the challenges of the relay. Some servers ignore the initial
// response in the command and ask for it with an empty challenge, so it is sent again then.
func (l *login) exchange(client sasl.Client, line []string, initial []byte) *Error {
	for round := range maxChallenges + 1 {
		reply, failed := l.wire.ask(attempt.OpAuth, []int{2, 3}, line...)
		if failed != nil || reply.Code/100 == 2 {
			return failed
		}
		l.challenges++
		challenge, err := decodeChallenge(reply.Text)
		if _, ignored := client.(*byTurn); err != nil && !ignored {
			if with, ok := client.(withSecret); ok {
				_, ignored = with.Client.(*byTurn)
			}
			if !ignored {
				return l.cancel(errors.New("the relay's challenge is not base64"))
			}
		}
		response := initial
		if round > 0 || len(initial) == 0 || strings.TrimSpace(reply.Text) != "" {
			response, err = client.Next(challenge)
		}
		if err != nil {
			return l.cancel(fmt.Errorf("answer the relay's challenge: %w", err))
		}
		l.wire.in.hide(string(response))
		line = []string{base64.StdEncoding.EncodeToString(response)}
	}
	return authError(fmt.Errorf("the relay sent more than %d challenges", maxChallenges))
}

// cancel ends the exchange with "*" (RFC 4954, section 4) and returns the error for err.
func (l *login) cancel(err error) *Error {
	_, _ = l.wire.ask(attempt.OpAuth, []int{2, 4, 5}, "*")
	return authError(err)
}

// decodeChallenge decodes a challenge. Some servers leave out the padding, or add text after a space.
func decodeChallenge(text string) ([]byte, error) {
	text, _, _ = strings.Cut(text, " ")
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
}

func authError(err error) *Error { return &Error{Op: attempt.OpAuth, Err: err} }
