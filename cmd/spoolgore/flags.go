package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore"
)

const help = `Spoolgore sends the mail messages found as files in a directory through a mail relay, and keeps trying until
each is delivered or given up.

usage: spoolgore [flags] DIR
       spoolgore demo          show it at work, with a relay and a spool of its own (-keep keeps the spool)

Relay
  -smtpaddr HOST:PORT          the relay; several, in order of preference, separated by commas (127.0.0.1:25)
  -smtpuser USER               log in with AUTH PLAIN
  -smtppassword PASSWORD
  -smtpmd5user USER            log in with CRAM-MD5
  -smtpmd5password PASSWORD
  -smtptimeout TIME            limit of each step of a delivery (the limits of RFC 5321)
  -localname NAME              name to greet the relay with (that of this host)
  -concurrency N               deliveries at the same time, at most (20)

Queue
  -freq TIME                   time between two scans of the directory (10)
  -attempts N                  failed attempts after which a recipient is given up (100)
  -maxage TIME                 age at which a message is given up (120h)
  -json PATH                   the status file (DIR/.spoolgore.js)
  -once                        try everything that is due once, and end

Other
  -logjson                     log lines in JSON; the log goes to standard error
  -verbose                     log more
  -version                     print the version
  -help                        print this

TIME is a number of seconds, or has a unit: 10, 500ms, 1m, 2h30m. What holds without a flag is in parentheses.
Flags go before DIR. A directory that is called demo is ./demo.

Signals
  TERM, INT                    finish what is in flight (up to 30 seconds), write the status file, end; again: at once
  URG, USR1                    scan, and retry everything that waits, now; ends a pause
  TSTP                         pause: bring the status file up to date, then leave it and the messages alone
  HUP                          take over the edited status file and end the pause; if it is not valid, change nothing

Exit codes
  0   ended as told            64  wrong usage            70  the system failed, or the demo did
  75  the spool is run already, or with -once no relay could be used: try again later
  78  something to put right: no such directory, no access, a status file that is not valid, a bad relay address
`

// config is what the command line says.
type config struct {
	dir                             string
	opts                            spoolgore.Options
	once, logJSON, verbose, version bool
}

// parse reads the command line. What it does not say is zero, for which the package has its defaults. The error is
// flag.ErrHelp if help was asked for.
func parse(args []string) (config, error) {
	var c config
	fs := flags(&c)
	if err := fs.Parse(args); err != nil || c.version {
		return c, err
	}
	switch operands := fs.Args(); {
	case len(operands) == 0:
		return c, errors.New("which directory is the spool?")
	case len(operands) > 1:
		return c, tooMany(operands)
	case operands[0] == "": // an unset variable in a script: not the current directory
		return c, errors.New("the name of the directory is empty")
	}
	c.dir = fs.Arg(0)
	for _, login := range [][4]string{
		{"-smtpuser", c.opts.SMTPUser, "-smtppassword", c.opts.SMTPPassword},
		{"-smtpmd5user", c.opts.SMTPMD5User, "-smtpmd5password", c.opts.SMTPMD5Password},
	} {
		if login[1] == "" && login[3] != "" {
			return c, fmt.Errorf("%s without %s", login[2], login[0])
		}
	}
	return c, nil
}

// flags are the flags of the daemon, bound to c.
func flags(c *config) *flag.FlagSet {
	fs := flag.NewFlagSet("spoolgore", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run says what is wrong, once
	fs.StringVar(&c.opts.SMTPAddr, "smtpaddr", "127.0.0.1:25", "")
	fs.StringVar(&c.opts.SMTPUser, "smtpuser", "", "")
	fs.StringVar(&c.opts.SMTPPassword, "smtppassword", "", "")
	fs.StringVar(&c.opts.SMTPMD5User, "smtpmd5user", "", "")
	fs.StringVar(&c.opts.SMTPMD5Password, "smtpmd5password", "", "")
	fs.Var((*span)(&c.opts.SMTPTimeout), "smtptimeout", "")
	fs.StringVar(&c.opts.LocalName, "localname", "", "")
	fs.Var((*count)(&c.opts.Concurrency), "concurrency", "")
	fs.Var((*span)(&c.opts.Freq), "freq", "")
	fs.Var((*count)(&c.opts.Attempts), "attempts", "")
	fs.Var((*span)(&c.opts.MaxAge), "maxage", "")
	fs.StringVar(&c.opts.StatusFile, "json", "", "")
	fs.BoolVar(&c.once, "once", false, "")
	fs.BoolVar(&c.logJSON, "logjson", false, "")
	fs.BoolVar(&c.verbose, "verbose", false, "")
	fs.BoolVar(&c.version, "version", false, "")
	return fs
}

// tooMany says what is wrong with more than one operand. Package flag stops at the first, so that a flag behind it is
// one. Of such a flag only the name is told: its value may be a password.
func tooMany(operands []string) error {
	for _, o := range operands[1:] {
		if name, _, _ := strings.Cut(o, "="); strings.HasPrefix(name, "-") {
			return fmt.Errorf("%s comes after the directory %s: flags go before the directory", name, operands[0])
		}
	}
	return fmt.Errorf("one directory at a time, not %d: %s", len(operands), strings.Join(operands, ", "))
}

// span is a time as a flag: in seconds, as the 2014 tool took it, or as Go writes it. It is more than zero, as zero
// would mean the default.
type span time.Duration

func (s *span) String() string { return time.Duration(*s).String() }

func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, plain := strconv.ParseUint(text, 10, 32); plain == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d <= 0 {
		return errors.New("want a time of more than zero, such as 10 (seconds), 500ms or 1m")
	}
	*s = span(d)
	return nil
}

// count is a number as a flag, one at least, as zero would mean the default.
type count int

func (c *count) String() string { return strconv.Itoa(int(*c)) }

func (c *count) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > math.MaxInt32 {
		return errors.New("want a number, 1 or more")
	}
	*c = count(n)
	return nil
}
