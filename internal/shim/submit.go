package shim

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/aliases"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/sendmail"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// submit takes a message from standard input. A nil error means that the message is safe.
func (s *shim) submit(c sendmail.Command) error {
	defaults, err := s.defaults()
	if err != nil {
		return err
	}
	if err := s.checkQuota(); err != nil {
		return err
	}
	in := interruptible(s.in)
	m, err := sendmail.New(c, defaults, in)
	if err != nil {
		return err
	}
	if m.Discarded {
		return s.discard(in)
	}
	name, err := s.put(m, "")
	if err != nil {
		return err
	}
	if c.Verbose {
		s.confirm(name)
	}
	if len(m.Bad) > 0 {
		var bad []string
		for _, a := range m.Bad {
			bad = append(bad, fmt.Sprintf("%q (%v)", a.Addr, a.Err))
		}
		s.say("accepted, but not for " + strings.Join(bad, ", ") + ": the sender gets a report")
	}
	return nil
}

// confirm prints the name of an accepted message. A write error is ignored: with another exit code than 0, the caller
// would send the message again.
func (s *shim) confirm(name string) {
	out := s.stdout
	if strict, ok := out.(*output); ok {
		out = strict.w
	}
	fmt.Fprintln(out, "queued as", name)
}

// put writes a message into the spool and returns its name. With is the protocol of the message; empty: a command.
// The message is read without the privilege.
func (s *shim) put(m *sendmail.Message, with string) (name string, err error) {
	hop := message.Hop{Host: s.conf.domain.value, With: with, Time: time.Now()}
	if s.sys.uid >= 0 {
		hop.UID = strconv.Itoa(s.sys.uid)
	}
	err = s.sys.held.with(func() error {
		name, err = spooldir.PutNamed(s.spool, func(w io.Writer, name string) error {
			hop.Name = name
			m.Trace(hop)
			return s.sys.held.without(func() error {
				_, err := m.WriteTo(s.room.writer(w))
				return err
			})
		})
		return err
	})
	return name, err
}

// defaults returns the values that complete a message, such as the domain, the caller's name and the aliases.
func (s *shim) defaults() (sendmail.Defaults, error) {
	d := sendmail.Defaults{Domain: s.conf.domain.value, Login: s.sys.login(), MaxSize: s.conf.maxSize, Now: time.Now()}
	d.MaxTo = s.conf.most
	d.Name = s.sys.fullName()
	if s.conf.aliases.value == "" {
		return d, nil
	}
	host, _ := s.sys.hostname()
	say := func(problem string) { s.say("aliases: " + problem) }
	if err := aliases.AddTo(&d, s.conf.aliases.value, host, say); err != nil {
		return d, fail(exitConfig, "aliases: %w", err)
	}
	return d, nil
}

// discard reads a message for which every recipient is an alias for /dev/null.
func (s *shim) discard(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	s.say("discarded: all recipients are aliases for /dev/null")
	return nil
}

// checkAliases is newaliases. There is no database to write: each call reads the alias file. Problems of the file are
// printed and are no error, because scripts of packages call newaliases.
func (s *shim) checkAliases() error {
	if s.conf.aliases.value == "" {
		return nil
	}
	table, err := aliases.Load(s.conf.aliases.value)
	if err != nil {
		s.say("aliases: " + err.Error())
		return nil
	}
	for _, p := range table.Problems {
		s.say("aliases: " + p.Error())
	}
	return nil
}

// verify is -bv: it prints the addresses of each recipient and sends no mail. Of an alias or an include file it prints
// addresses only.
func (s *shim) verify(c sendmail.Command) error {
	d, err := s.defaults()
	if err != nil {
		return err
	}
	if len(c.Operands) == 0 {
		return fmt.Errorf("%w: -bv: which recipient?", sendmail.ErrUsage)
	}
	var bad error
	for _, operand := range c.Operands {
		resolved, err := d.Resolve(operand)
		if err != nil {
			return err
		}
		for _, r := range resolved {
			var to []string
			for _, a := range r.To {
				if a.Err != nil {
					bad = fmt.Errorf("%w: %q: %w", sendmail.ErrData, r.Given, a.Err)
					// The text of the entry is left out: an include file may be any file.
					to = append(to, "an entry that cannot be sent: "+a.Err.Error())
					continue
				}
				to = append(to, a.Addr)
			}
			if len(r.To) == 0 {
				fmt.Fprintf(s.stdout, "%s: /dev/null, discarded\n", oneLine(r.Given))
				continue
			}
			fmt.Fprintf(s.stdout, "%s: %s, through %s\n", oneLine(r.Given), oneLine(strings.Join(to, ", ")),
				s.spool.Path())
		}
	}
	return bad
}

// checkQuota returns an error if the caller's messages in the spool have reached a limit for each user. Root has no
// limit: the host's own reports must get through.
func (s *shim) checkQuota() error {
	s.room = nil
	if s.sys.uid <= 0 { // files have no owner on Windows
		return nil
	}
	var files int
	var bytes int64
	err := s.sys.held.with(func() (err error) {
		if s.conf.userFiles > 0 || s.conf.userSize > 0 {
			files, bytes, err = spooldir.Usage(s.spool, s.sys.uid)
		}
		if free, known := spooldir.Room(s.spool); known && (s.sys.elevated || s.serves) {
			s.room = &room{left: free, why: "the disk has only the room left that the daemon needs"}
		}
		return err
	})
	if err != nil {
		return err
	}
	if s.room != nil && s.room.left <= 0 {
		return fail(exitTempFail, "%s", s.room.why)
	}
	if limit := s.conf.userFiles; limit > 0 && int64(files) >= limit {
		return fail(exitTempFail, "%d messages of yours wait in the spool; the limit is %d", files, limit)
	}
	if limit := s.conf.userSize; limit > 0 && bytes >= limit {
		return fail(exitTempFail, "your messages in the spool have %d bytes; the limit is %d", bytes, limit)
	} else if limit > 0 && (s.room == nil || limit-bytes < s.room.left) {
		s.room = &room{left: limit - bytes, why: fmt.Sprintf("your messages in the spool would have more than %d bytes",
			limit)}
	}
	return nil
}
