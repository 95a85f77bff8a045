// Package sendmail parses a call of sendmail: its arguments, and from standard input the message with its envelope.
// docs/sendmail.md lists the known callers. Where a caller and an older sendmail disagree, the caller is right: for
// many callers a refusal is a lost message.
package sendmail

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/message"
)

// Mode is the task of a call.
type Mode int

// The modes.
const (
	Submit     Mode = iota // take a message (-bm, and when nothing else is said)
	SMTP                   // speak SMTP on standard input and output (-bs)
	List                   // show what is in the spool (-bp, mailq)
	Verify                 // say what would be done with the recipients (-bv)
	Flush                  // try everything now (-q)
	Aliases                // rebuild the aliases, of which nothing needs to be built (-bi, newaliases)
	ShowConfig             // say where the spool is, and from where that is known (-bP)
)

// Command is the result of parsing the arguments.
type Command struct {
	Mode     Mode
	JSON     bool    // List: as JSON
	Header   bool    // recipients are in the header too (-t)
	Sender   *string // of the envelope, as it was given; nil: it was not
	FullName string  // for a From field that has to be added; empty: none was given
	Notify   string  // RFC 3461, section 4.1, as "SUCCESS,DELAY"; empty: no wish
	Ret      string  // RFC 3461, section 4.3: "FULL" or "HDRS"; empty: no wish
	EnvID    string  // RFC 3461, section 4.4, in plain text; empty: none

	Expire    string // time or duration after which the message is given up (-O Expire); empty: no limit of its own
	NotBefore string // time or duration before which the message is not sent (-O NotBefore); empty: at once
	Priority  int    // messages of higher priority are sent first (-O Priority)
	Verbose   bool   // Submit: print the name of the message in the spool (-v)

	Operands []string // each a list of addresses, as cron's MAILTO
}

// ErrUsage is the error for wrong arguments.
var ErrUsage = errors.New("wrong usage")

// Flags by kind. Every other flag is refused.
const (
	plainFlags    = "GIUimntv"            // nothing
	valueFlags    = "ABCDFLMNORVXbefhopr" // a value, in the same argument or in the next
	attachedFlags = "dq"                  // a value in the same argument, or none
)

// Parse reads the arguments without the name of the program; name is that name or its path. Parse reads flags as
// getopt(3) does: bundled, the value attached or in the next argument, up to "--" or the first operand. The last of
// two equal flags counts. Flags for other configurations, queues and logs are ignored, and no file is opened. The
// error is [ErrUsage].
func Parse(name string, args []string) (Command, error) {
	var c Command
	switch strings.TrimSuffix(filepath.Base(name), ".exe") {
	case "mailq":
		c.Mode = List
	case "newaliases":
		c.Mode = Aliases
	}
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" {
			args = args[1:]
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			break
		}
		args = args[1:]
		if arg == "-json" || arg == "--json" {
			c.JSON = true
			continue
		}
		var err error
		if args, err = c.cluster(arg[1:], args); err != nil {
			return Command{}, err
		}
	}
	c.Operands = slices.Clone(args)
	if c.JSON && c.Mode != List {
		return Command{}, fmt.Errorf("%w: -json goes with -bp only", ErrUsage)
	}
	if c.Mode == Submit && len(c.Operands) == 0 && !c.Header {
		return Command{}, fmt.Errorf("%w: no recipient: write an address, or -t to take the recipients from "+
			"the header", ErrUsage)
	}
	return c, nil
}

// cluster reads the flags of one argument, and returns the arguments left.
func (c *Command) cluster(flags string, args []string) ([]string, error) {
	for i := range len(flags) {
		flag, value := flags[i], flags[i+1:]
		switch {
		case strings.IndexByte(plainFlags, flag) >= 0:
			c.plain(flag)
			continue
		case strings.IndexByte(attachedFlags, flag) >= 0:
			if flag == 'q' && c.Mode != SMTP {
				c.Mode = Flush
			}
			return args, nil
		case flag == 's':
			return nil, fmt.Errorf("%w: unknown flag -'s', which is one of mail(1); write a Subject field", ErrUsage)
		case strings.IndexByte(valueFlags, flag) < 0:
			return nil, fmt.Errorf("%w: unknown flag -%q; see man sendmail-spool", ErrUsage, rune(flag))
		case value == "" && len(args) == 0:
			return nil, fmt.Errorf("%w: -%c needs a value", ErrUsage, flag)
		case value == "":
			value, args = args[0], args[1:]
		}
		return args, c.value(flag, value)
	}
	return args, nil
}

// plain applies a flag without a value. A line with only a dot is text, with -i and without: the reports of many
// programs hold such lines.
func (c *Command) plain(flag byte) {
	switch flag {
	case 't':
		c.Header = true
	case 'I':
		c.Mode = Aliases
	case 'v':
		c.Verbose = true
	}
}

// value applies a flag with its value.
func (c *Command) value(flag byte, value string) error {
	switch flag {
	case 'b':
		return c.mode(value)
	case 'f', 'r':
		c.Sender = &value
	case 'F':
		c.FullName = value
	case 'N':
		c.Notify = message.Notify(value)
	case 'R':
		c.Ret = ret(value)
	case 'V':
		c.EnvID = envID(value)
	case 'O':
		return c.option(value)
	}
	return nil
}

// option reads the value of -O: a name, '=' and a value. Sendmail's own options are ignored.
func (c *Command) option(text string) (err error) {
	name, value, _ := strings.Cut(text, "=")
	switch value = strings.TrimSpace(value); strings.ToLower(strings.TrimSpace(name)) {
	case "expire":
		c.Expire = value
		_, err = message.ParseTime(value, time.Time{})
	case "notbefore":
		c.NotBefore = value
		_, err = message.ParseTime(value, time.Time{})
	case "priority":
		if c.Priority, err = strconv.Atoi(value); err != nil {
			err = fmt.Errorf("%q: not a number", value)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: -O %s: %w", ErrUsage, printable(name), err)
	}
	return nil
}

// Schedule sets when a message may be sent, as c says. Durations count from now.
func (c Command) Schedule(env *message.Envelope, now time.Time) {
	if c.Expire != "" {
		env.Expire, _ = message.ParseTime(c.Expire, now)
	}
	if c.NotBefore != "" {
		env.NotBefore, _ = message.ParseTime(c.NotBefore, now)
	}
	env.Priority = c.Priority
}

func (c *Command) mode(value string) error {
	switch value {
	case "m":
		c.Mode = Submit
	case "s":
		c.Mode = SMTP
	case "p":
		c.Mode = List
	case "v":
		c.Mode = Verify
	case "i":
		c.Mode = Aliases
	case "P":
		c.Mode = ShowConfig
	case "d", "D", "l":
		return fmt.Errorf("%w: -b%s: this is no server; the daemon is spoolgore", ErrUsage, value)
	default:
		return fmt.Errorf("%w: -b%s is not among -bm -bs -bp -bv -bi -bP", ErrUsage, printable(value))
	}
	return nil
}

// Invalid requests for delivery reports are ignored: the message is more important.

func ret(value string) string {
	switch strings.ToUpper(value) {
	case "FULL":
		return "FULL"
	case "HDRS":
		return "HDRS"
	}
	return ""
}

func envID(value string) string {
	if len(value) > 100 || strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return ""
	}
	return value
}

// printable escapes an argument for an error text.
func printable(s string) string {
	s = fmt.Sprintf("%q", s[:min(len(s), 100)])
	return s[1 : len(s)-1]
}
