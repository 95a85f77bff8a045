//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/sendmail"
	"github.com/unbit/spoolgore/internal/stdiosmtp"
)

// serveSMTP is -bs: an SMTP session on standard input and output. A 250 reply to the content is sent after the message
// is safe; a refusal is a reply too. An error means that the session was broken off: by a signal, by a read error, or
// by the end of the input within a message.
func (s *shim) serveSMTP(c sendmail.Command, out io.Writer) error {
	defaults, err := s.defaults()
	if err != nil {
		return err
	}
	senders := defaults
	senders.Aliases = nil
	server := &stdiosmtp.Server{
		Name: s.conf.domain.value, MaxSize: s.conf.maxSize,
		Sender: func(path string) (string, error) {
			list, err := resolve(senders, path)
			if err != nil {
				return "", &stdiosmtp.Refusal{Code: 553, Status: "5.1.7", Err: err}
			}
			return list[0], nil
		},
		Recipients: func(path string) ([]string, error) {
			list, err := resolve(defaults, path)
			if err != nil {
				return nil, &stdiosmtp.Refusal{Code: 553, Status: "5.1.3", Err: err}
			}
			return list, nil
		},
		Accept: func(env message.Envelope, content io.Reader) error {
			c.Schedule(&env, time.Now())
			return refusal(s.submitFor(env, defaults, content))
		},
	}
	if err := server.Serve(interruptible(s.in), out); err != nil {
		return fmt.Errorf("%w: %w", sendmail.ErrInput, err)
	}
	return nil
}

// resolve returns the addresses of a path. At least one address is valid, except if the path is an alias for /dev/null,
// which has no address. The sender gets a report about invalid addresses of an alias.
func resolve(d sendmail.Defaults, path string) (list []string, err error) {
	resolved, err := d.Resolve(path)
	if err != nil || len(resolved) != 1 {
		return nil, errors.New("not one address")
	}
	bad := 0
	for _, a := range resolved[0].To {
		list = append(list, a.Addr)
		if a.Err != nil {
			bad, err = bad+1, a.Err
		}
	}
	if bad == len(list) && bad > 0 {
		return nil, err
	}
	return list, nil
}

// refusal gives an error of submitFor its reply code. An error without a code becomes a temporary reply.
func refusal(err error) error {
	switch {
	case errors.Is(err, sendmail.ErrTooLarge):
		return &stdiosmtp.Refusal{Code: 552, Status: "5.3.4", Err: err}
	case errors.Is(err, sendmail.ErrData):
		return &stdiosmtp.Refusal{Code: 554, Status: "5.6.0", Err: err}
	}
	return err
}

// submitFor puts a message into the spool, with the sender and the recipients of env.
func (s *shim) submitFor(env message.Envelope, d sendmail.Defaults, content io.Reader) error {
	if err := s.checkQuota(); err != nil {
		return err
	}
	if len(env.To) == 0 {
		return s.discard(content)
	}
	m, err := d.Complete(env, content)
	if err != nil {
		return err
	}
	_, err = s.put(m, "SMTP")
	return err
}
