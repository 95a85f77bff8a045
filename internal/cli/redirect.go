package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func redirectCommand() *command {
	c := &command{
		name:     "redirect",
		operands: []string{"[DIR] NAME... ADDRESS"},
		brief:    "send messages to another address",
		about: `Gives messages another recipient: ADDRESS takes the place of all recipients that have not got them.
Who has accepted the message stays. A waiting message is tried at once, a held one stays held. A message in
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
	changed := c.actOnEach(done, targets, func(t target) error { return readdress(c, t, instead) })
	if err := c.dir.SyncPlaces(); err != nil {
		return err
	}
	if len(changed) > 0 {
		err = c.dir.Steering().Touched()
	}
	c.printDone(done, changed)
	return err
}

// Reasons why a message is left alone.
var (
	errSending  = errors.New("it is being sent at this moment: try again")
	errNoneLeft = errors.New("every recipient has accepted the message already")
)

// readdress gives a message other recipients. A message in failed/ moves back into the spool.
func readdress(c *call, t target, instead func(addr string) ([]string, error)) error {
	if t.state == mailq.Sending {
		return errSending
	}
	e, err := c.view.Find(t.place, t.name)
	if err != nil {
		return err
	}
	c.view.ReadHeader(e)
	to, left, err := newRecipients(e, instead)
	switch {
	case err != nil:
		return err
	case left == 0:
		return errNoneLeft
	}
	f, err := spooldir.OpenRead(c.dir.At(t.place, t.name))
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	h, err := message.ReadHeader(f, fi.Size())
	if err != nil {
		return err
	}
	front, err := message.Readdress(h, to, fi.ModTime())
	if err != nil {
		return err
	}
	err = c.dir.Steering().Rewrite(t.place, t.name, spooldir.IDOf(fi), func(w io.Writer) error {
		if _, err := w.Write(front); err != nil {
			return err
		}
		_, err := io.Copy(w, io.NewSectionReader(f, h.Start(), fi.Size()-h.Start()))
		return err
	})
	if err == nil && t.place == spooldir.Failed {
		err = c.dir.Steering().Shift(t.name, spooldir.Failed, spooldir.Spool)
	}
	return err
}

// newRecipients returns who has accepted e, and those that take the place of the others. left is the number of the
// others. Who gets a copy that the operator asked for is left out.
func newRecipients(
	e *mailq.Entry, instead func(addr string) ([]string, error),
) (to []string, left int, err error) {
	seen := make(map[string]bool)
	add := func(addr string) {
		if !seen[addr] {
			seen[addr] = true
			to = append(to, addr)
		}
	}
	e.Recipients(func(r *record.Recipient) {
		if r.Accepted() && !r.Copy {
			add(r.Address)
		}
	})
	e.Recipients(func(r *record.Recipient) {
		if r.Accepted() || r.Copy {
			return
		}
		left++
		others, failure := instead(r.Address)
		err = errors.Join(err, failure)
		for _, addr := range others {
			add(addr)
		}
	})
	return to, left, err
}
