package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/unbit/spoolgore/internal/aliases"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/sendmail"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// errDiscarded is the error for a message with aliases for /dev/null only.
var errDiscarded = errors.New("all recipients left are aliases for /dev/null: delete the message")

// aliasLookup returns a function that puts the aliases of the configuration in place of an address.
func aliasLookup(c *call) (func(addr string) ([]string, error), error) {
	path := c.found.AliasFile()
	if path == "" {
		return nil, exitErr{ExitConfig, "-realias: there is no alias file"}
	}
	host, _ := os.Hostname()
	d := sendmail.Defaults{Domain: c.found.MailDomain()}
	say := func(problem string) { c.say("aliases: %s", problem) }
	if err := aliases.AddTo(&d, path, host, say); err != nil {
		return nil, exitErr{ExitConfig, fmt.Sprintf("-realias: %v", err)}
	}
	return func(addr string) (to []string, err error) {
		resolved, err := d.Resolve(addr)
		if err != nil || len(resolved) != 1 {
			return []string{addr}, nil // not an address of this host
		}
		for _, a := range resolved[0].To {
			if a.Err != nil {
				return nil, fmt.Errorf("%s: %w", addr, a.Err)
			}
			to = append(to, a.Addr)
		}
		return to, nil
	}, nil
}

// realias puts aliases in place of the recipients of t that have not got the message. It returns false, and leaves the
// file as it is, if no recipient is an alias.
func realias(c *call, t target, lookup func(addr string) ([]string, error)) (changed bool, err error) {
	e, err := c.view.Find(t.place, t.name)
	if err != nil {
		return false, err
	}
	if err := mailq.ReadRecipients(c.view, e); err != nil {
		return false, err
	}
	same := func(addr string) ([]string, error) { return []string{addr}, nil }
	before, _, err := e.NewRecipients(same)
	if err != nil {
		return false, err
	}
	after, left, err := e.NewRecipients(lookup)
	switch {
	case err != nil:
		return false, err
	case left > 0 && len(after) == len(before)-left:
		return false, errDiscarded
	case slices.Equal(before, after):
		return false, nil
	}
	return true, c.view.Readdress(t.place, t.name, lookup)
}

// tryAgain has t tried again, with aliases put in place if lookup is not nil. back reports whether t came from
// failed/.
func tryAgain(c *call, t target, lookup func(addr string) ([]string, error)) (back bool, err error) {
	back = t.place == spooldir.Failed
	if isTemporary(c, t) {
		return false, mailq.ErrTemporary
	}
	if lookup != nil {
		if t.state == mailq.Sending {
			return false, mailq.ErrSending
		}
		if changed, err := realias(c, t, lookup); changed || err != nil {
			return back, err
		}
	}
	if c.queue != nil {
		return false, c.queue.Retry(t.name)
	}
	if back {
		return true, c.dir.Steering().Shift(t.name, spooldir.Failed, spooldir.Spool)
	}
	return false, c.dir.Steering().Touch(t.name)
}
