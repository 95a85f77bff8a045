package shim

import (
	"fmt"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/sendmail"
)

// serveSMTP is -bs: an SMTP session on standard input and output. A 250 reply to the content is sent after the message
// is safe; a refusal is a reply too. An error means that the session was broken off: by a signal, by a read error, or
// by the end of the input within a message.
func (s *shim) serveSMTP(c sendmail.Command) error {
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
