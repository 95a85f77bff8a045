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
)

// AuthFunc picks one of the mechanisms a relay offers and makes a client for it, which is used once. An error says why
// there is none. After a 535 it is asked once more, with offer.Refused set: an error then leaves it at the refusal.
type AuthFunc func(ctx context.Context, offer AuthOffer) (mech string, client sasl.Client, err error)

// AuthOffer is what a relay has to say about AUTH.
type AuthOffer struct {
	Mechanisms []string             // in upper case, in the order of the relay
	TLS        *tls.ConnectionState // nil: the session has no TLS
	Refused    sasl.Client          // the client whose credentials were refused in this session; nil: none
}

// maxChallenges bounds how long a relay can go on asking.
const maxChallenges = 10

// A finisher is a client that has something to say about an acceptance.
type finisher interface{ finish() error }

// logIn speaks AUTH (RFC 4954) where it is configured. After an error the connection is closed: no mail goes out
// without AUTH, and a relay takes every further line for a bad command.
func (c *Conn) logIn() *Error {
	if c.cfg.Auth == nil {
		return nil
	}
	offered, ok := c.Extension("AUTH")
	switch {
	case !c.private:
		return authError(ErrNotPrivate)
	case !ok:
		return authError(ErrNoAuth)
	}
	offer := AuthOffer{Mechanisms: strings.Fields(strings.ToUpper(offered))}
	if secure, ok := c.nc.(*tls.Conn); ok {
		state := secure.ConnectionState()
		offer.TLS = &state
	}
	client, failed := c.attempt(offer)
	if failed == nil || failed.Reply.Code != 535 || c.broken {
		return failed
	}
	offer.Refused = client
	if _, again := c.attempt(offer); again == nil || again.Reply.Code != 0 || c.broken {
		return again
	}
	return failed
}

// attempt logs in once, and returns the client it did that with.
func (c *Conn) attempt(offer AuthOffer) (sasl.Client, *Error) {
	mech, client, err := c.cfg.Auth(c.ctx, offer)
	if err != nil {
		return nil, authError(err)
	}
	if !slices.Contains(offer.Mechanisms, mech) {
		return nil, authError(fmt.Errorf("the relay does not offer AUTH with %q", mech))
	}
	c.mech = mech
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
	if failed := c.challenges(client, command); failed != nil {
		return client, failed
	}
	if f, ok := client.(finisher); ok {
		if err := f.finish(); err != nil {
			return client, authError(err)
		}
	}
	return client, nil
}

// challenges sends the command and answers what the relay asks.
func (c *Conn) challenges(client sasl.Client, line []string) *Error {
	for range maxChallenges + 1 {
		reply, failed := c.ask(OpAuth, []int{235, 334}, line...)
		if failed != nil || reply.Code == 235 {
			return failed
		}
		challenge, err := base64.StdEncoding.DecodeString(reply.Text)
		if err != nil {
			return c.cancel(errors.New("the relay's challenge is not base64"))
		}
		response, err := client.Next(challenge)
		if err != nil {
			return c.cancel(fmt.Errorf("answer the relay's challenge: %w", err))
		}
		line = []string{base64.StdEncoding.EncodeToString(response)}
	}
	return authError(fmt.Errorf("the relay still asks after %d challenges", maxChallenges))
}

// cancel gives up in good order (RFC 4954, section 4).
func (c *Conn) cancel(err error) *Error {
	_, _ = c.ask(OpAuth, []int{2, 4, 5}, "*")
	return authError(err)
}

func authError(err error) *Error { return &Error{Op: OpAuth, Err: err} }
