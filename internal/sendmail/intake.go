package sendmail

import (
	"io"

	"github.com/unbit/spoolgore/internal/message"
)

// Intake takes messages that come by SMTP.
type Intake struct {
	Defaults Defaults // complete addresses and messages

	// Put writes a message into the spool. A nil error means that the message is safe. Discard reads a message whose
	// recipients are all aliases for /dev/null.
	Put     func(m *Message) error
	Discard func(content io.Reader) error

	Schedule func(env *message.Envelope) // sets times and priority of the envelope; nil: none
	Check    func() error                // returns an error if no message can be taken now; nil: no check
}
