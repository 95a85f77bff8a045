// Package submission takes mail by SMTP into a spool: for sendmail -bs on standard input and output, and for the flag
// -listen of the daemon on a socket.
package submission

import (
	"errors"
	"io"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/sendmail"
	"github.com/unbit/spoolgore/internal/stdiosmtp"
)

// Serve runs an SMTP session for an intake until the client sends QUIT or the input ends. Its errors are those of
// [stdiosmtp.Server.Serve].
func Serve(intake sendmail.Intake, in io.Reader, out io.Writer) error {
	return Server(intake).Serve(in, out)
}

// Server returns an SMTP server that takes messages. An address without a domain gets the domain of the defaults, and a
// recipient may be an alias.
func Server(in sendmail.Intake) *stdiosmtp.Server {
	senders := in.Defaults
	senders.Aliases = nil
	return &stdiosmtp.Server{
		Name: in.Defaults.Domain, MaxSize: in.Defaults.MaxSize,
		Sender: func(path string) (string, error) {
			list, err := resolve(senders, path)
			if err != nil {
				return "", &stdiosmtp.Refusal{Code: 553, Status: "5.1.7", Err: err}
			}
			return list[0], nil
		},
		Recipients: func(path string) ([]string, error) {
			list, err := resolve(in.Defaults, path)
			if err != nil {
				return nil, &stdiosmtp.Refusal{Code: 553, Status: "5.1.3", Err: err}
			}
			return list, nil
		},
		Accept: func(env message.Envelope, content io.Reader) error { return refusal(accept(in, env, content)) },
	}
}

// accept takes a message for the sender and the recipients of env.
func accept(in sendmail.Intake, env message.Envelope, content io.Reader) error {
	if in.Schedule != nil {
		in.Schedule(&env)
	}
	if in.Check != nil {
		if err := in.Check(); err != nil {
			return err
		}
	}
	if len(env.To) == 0 {
		return in.Discard(content)
	}
	m, err := in.Defaults.Complete(env, content)
	if err != nil {
		return err
	}
	return in.Put(m)
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

// refusal gives an error of accept its reply code. An error without a code becomes a temporary reply.
func refusal(err error) error {
	switch {
	case errors.Is(err, sendmail.ErrTooLarge):
		return &stdiosmtp.Refusal{Code: 552, Status: "5.3.4", Err: err}
	case errors.Is(err, sendmail.ErrData):
		return &stdiosmtp.Refusal{Code: 554, Status: "5.6.0", Err: err}
	}
	return err
}
