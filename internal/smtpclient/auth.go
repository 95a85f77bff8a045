package smtpclient

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/smtp"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
)

// AuthFunc picks one of the mechanisms a relay offers, in upper case, and makes a client for it, which is used once. An
// error says why there is none.
type AuthFunc func(mechanisms []string) (mech string, client sasl.Client, err error)

// maxChallenges bounds how long a relay can go on asking.
const maxChallenges = 10

// Plain logs in with PLAIN (RFC 4616).
func Plain(user, password string) AuthFunc {
	return only(sasl.Plain, func() sasl.Client { return sasl.NewPlainClient("", user, password) })
}

// CRAMMD5 logs in with CRAM-MD5 (RFC 2195).
func CRAMMD5(user, secret string) AuthFunc {
	return only("CRAM-MD5", func() sasl.Client { return netAuth{smtp.CRAMMD5Auth(user, secret)} })
}

// only picks one mechanism, if it is offered.
func only(mech string, client func() sasl.Client) AuthFunc {
	return func(mechanisms []string) (string, sasl.Client, error) {
		if !slices.Contains(mechanisms, mech) {
			return "", nil, fmt.Errorf("the relay offers AUTH with %s, not with %s", strings.Join(mechanisms, ", "), mech)
		}
		return mech, client(), nil
	}
}

// netAuth makes a sasl.Client of a mechanism of net/smtp.
type netAuth struct{ auth smtp.Auth }

func (a netAuth) Start() (mech string, ir []byte, err error) { return a.auth.Start(&smtp.ServerInfo{}) }

func (a netAuth) Next(challenge []byte) ([]byte, error) { return a.auth.Next(challenge, true) }

// logIn speaks AUTH (RFC 4954) where it is configured. After an error the connection is closed: no mail goes out
// without AUTH, and a relay takes every further line for a bad command.
func (c *Conn) logIn() *Error {
	if c.cfg.Auth == nil {
		return nil
	}
	offered, ok := c.Extension("AUTH")
	switch {
	case !c.private:
		return authError(errors.New("will not send credentials over an unverified connection"))
	case !ok:
		return authError(errors.New("the relay does not offer AUTH"))
	}
	mechanisms := strings.Fields(strings.ToUpper(offered))
	mech, client, err := c.cfg.Auth(mechanisms)
	if err != nil {
		return authError(err)
	}
	if !slices.Contains(mechanisms, mech) {
		return authError(fmt.Errorf("the relay does not offer AUTH with %q", mech))
	}
	_, initial, err := client.Start()
	if err != nil {
		return authError(fmt.Errorf("start %s: %w", mech, err))
	}
	command := []string{"AUTH ", mech}
	switch {
	case initial != nil && len(initial) == 0:
		command = append(command, " =")
	case initial != nil:
		command = append(command, " ", base64.StdEncoding.EncodeToString(initial))
	}
	return c.challenges(client, command)
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
