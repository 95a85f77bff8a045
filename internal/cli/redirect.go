package cli

import (
	"fmt"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
)

func redirectCommand() *command {
	c := &command{
		name:     "redirect",
		operands: []string{"[DIR] NAME... ADDRESS"},
		brief:    "send messages to another address",
		about: `Gives messages another recipient: ADDRESS takes the place of all recipients that have not got them.
A recipient with an acceptance stays. A waiting message is tried at once, a held one stays held. A message in
failed/ moves back into the spool. The fields To and Cc stay as they are.`,
		flags:    config.NewFlagSet("redirect"),
		messages: []string{""},
	}
	return c.onSpool(func(a *call) error { return redirect(a) })
}

// redirect gives the named messages another recipient.
func redirect(c *call) error {
	if len(c.operands) < 2 {
		return usageErr("name the messages (see spoolgore list), and then the address")
	}
	last := len(c.operands) - 1
	to, err := message.Canonical(c.operands[last])
	if err != nil {
		return usageErr(fmt.Sprintf("%q is no address: %v", c.operands[last], err))
	}
	c.operands = c.operands[:last]
	return readdressAll(c, "redirected to "+to+":", func(string) ([]string, error) {
		return []string{to}, nil
	})
}

// readdressAll gives the messages of the operands other recipients: those that instead returns for each recipient that
// has not got the message.
func readdressAll(c *call, done string, instead func(addr string) ([]string, error)) error {
	targets, err := c.choose(&selection{}, allPlaces())
	if err != nil {
		return err
	}
	changed := c.actOnEach(done, targets, func(t target) error {
		if t.state == mailq.Sending {
			return mailq.ErrSending
		}
		if c.queue != nil {
			return c.queue.Readdress(t.name, instead)
		}
		return c.view.Readdress(t.place, t.name, instead)
	})
	if err := c.syncPlaces(); err != nil {
		return err
	}
	if len(changed) > 0 && c.queue == nil {
		err = c.dir.Steering().Touched()
	}
	c.printDone(done, changed)
	return err
}
