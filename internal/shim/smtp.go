package shim

import (
	"fmt"
	"time"

	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/sendmail"
)

// serveSMTP is -bs: an SMTP session on standard input and output. A 250 reply to the content is sent after the message
// is safe; a refusal is a reply too. An error means that the session was broken off: by a signal, by a read error, or
// by the end of the input within a message.
//
// Behind a socket of systemd, any program of the host can be the client. So the limits for a message do not depend on
// setgid.
func (s *shim) serveSMTP(c sendmail.Command) error {
	s.serves = true
	if _, ok := s.conf.sizes["maxsize"]; !ok {
		var err error
		if s.conf.maxSize, err = conf.Size(sharedMaxSize); err != nil {
			return err
		}
	}
	defaults, err := s.defaults()
	if err != nil {
		return err
	}
	intake := sendmail.Intake{
		Defaults: defaults,
		Put: func(m *sendmail.Message) error {
			_, err := s.put(m, "SMTP")
			return err
		},
		Discard:  s.discard,
		Schedule: func(env *message.Envelope) { c.Schedule(env, time.Now()) },
		Check:    s.checkQuota,
	}
	if err := s.server(intake, interruptible(s.in), s.stdout); err != nil {
		return fmt.Errorf("%w: %w", sendmail.ErrInput, err)
	}
	return nil
}
