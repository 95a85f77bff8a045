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

// serveSMTP is -bs: an SMTP session on standard input and output. Each message is safe before its end is answered with
// 250; what is refused is told to the client. The error is that of a session that was broken off: by a signal, by input
// that cannot be read, or that ends within a message.
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

// resolve returns the addresses that one path stands for. At least one is good, unless the path is an alias for
// /dev/null. The sender gets a report about the others, which an alias may have.
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

// refusal says whether a message that was not taken may be tried again.
func refusal(err error) error {
	switch {
	case errors.Is(err, sendmail.ErrTooLarge):
		return &stdiosmtp.Refusal{Code: 552, Status: "5.3.4", Err: err}
	case errors.Is(err, sendmail.ErrData):
		return &stdiosmtp.Refusal{Code: 554, Status: "5.6.0", Err: err}
	}
	return err
}

// submitFor takes a message for the sender and recipients in env.
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
	return s.put(m)
}
