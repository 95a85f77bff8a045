package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/ratelimit"
	"github.com/unbit/spoolgore/internal/relayfile"
)

// config is what the command line, the environment and the file of -config say.
type config struct {
	dir                             string
	opts                            spoolgore.Options // without what stands in files
	relay                           relaySettings     // for opts.SMTPAddr
	md5User, md5Password            string
	badToken                        bool // -smtptoken was given a value that is neither yes nor no
	relaysFile                      string
	onFail                          string // a command to run for what was given up
	http, httpToken, httpTokenFile  string // where to show the spool; empty: nowhere
	bounce                          bool
	once, logJSON, verbose, version bool
	file                            string // of -config; empty: none
	print                           bool
	level                           *slog.LevelVar     // of the log, which may change; nil: as verbose says
	from                            map[string]setting // by its key, every one that is not left to its default
}

// relaySettings is short for the settings of a relay.
type relaySettings = relayfile.Settings

// parse reads the command line of the daemon, the environment, and the file of -config. The error is flag.ErrHelp if help
// was asked for.
func parse(args []string, env func(string) string) (config, error) {
	c, operands, err := configure(args, env, nil)
	if c.version || errors.Is(err, flag.ErrHelp) {
		return c, err
	}
	switch {
	case len(operands) > 1 && c.relay.Token: // the first one may be a token, which is not to be shown
		return c, errors.New("one directory at a time; -smtptoken takes no value, the token is the password")
	case len(operands) > 1:
		return c, tooMany(operands)
	case len(operands) == 1 && operands[0] == "": // an unset variable in a script: not the current directory
		return c, errors.New("the name of the directory is empty")
	case err != nil:
		return c, err
	case len(operands) == 1:
		c.dir, c.from["dir"] = operands[0], setting{"dir", operands[0], onCommandLine, "the command line"}
	case c.dir == "" && !c.print:
		return c, errors.New("which directory is the spool? Name it behind the flags, in SPOOLGORE_DIR, or as dir in the file of -config")
	}
	return c, nil
}

// flags are the flags of the daemon, bound to c.
func flags(c *config) *flag.FlagSet {
	fs := flag.NewFlagSet("spoolgore", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run says what is wrong, once
	fs.StringVar(&c.opts.SMTPAddr, "smtpaddr", "127.0.0.1:25", "")
	fs.StringVar(&c.relaysFile, "relays", "", "")
	loginFlags(fs, c)
	fs.StringVar(&c.relay.TLS, "smtptls", "", "")
	fs.StringVar(&c.relay.CA, "smtpca", "", "")
	fs.StringVar(&c.relay.Cert, "smtpcert", "", "")
	fs.StringVar(&c.relay.Key, "smtpkey", "", "")
	fs.StringVar(&c.relay.Pin, "smtppin", "", "")
	fs.Var((*span)(&c.opts.SMTPTimeout), "smtptimeout", "")
	fs.StringVar(&c.opts.LocalName, "localname", "", "")
	fs.Var((*count)(&c.opts.Concurrency), "concurrency", "")
	fs.Var((*rate)(&c.opts.Rate), "rate", "")
	fs.BoolVar(&c.opts.SMTP.NoPipelining, "nopipelining", false, "")
	fs.BoolVar(&c.opts.SMTP.NoChunking, "nochunking", false, "")
	fs.Var((*count)(&c.opts.SMTP.Window), "window", "")
	fs.Var((*span)(&c.opts.Freq), "freq", "")
	fs.Var((*count)(&c.opts.Attempts), "attempts", "")
	fs.Var((*span)(&c.opts.MaxAge), "maxage", "")
	fs.BoolVar(&c.bounce, "bounce", true, "")
	fs.Var((*span)(&c.opts.WarnAfter), "warnafter", "")
	fs.StringVar(&c.onFail, "onfail", "", "")
	fs.StringVar(&c.opts.StatusFile, "json", "", "")
	fs.StringVar(&c.http, "http", "", "")
	fs.StringVar(&c.httpToken, "httptoken", "", "")
	fs.StringVar(&c.httpTokenFile, "httptokenfile", "", "")
	fs.BoolVar(&c.once, "once", false, "")
	fs.BoolVar(&c.logJSON, "logjson", false, "")
	fs.BoolVar(&c.verbose, "verbose", false, "")
	fs.StringVar(&c.file, "config", "", "")
	fs.BoolVar(&c.print, "printconfig", false, "")
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

// rate is a list of limits as a flag, as "14/s,600/m".
type rate string

func (r *rate) String() string { return string(*r) }

func (r *rate) Set(text string) error {
	limits, err := ratelimit.Parse(text)
	if err == nil && len(limits) == 0 {
		err = errors.New("want limits, such as 14/s,600/m,50000/d")
	}
	*r = rate(text)
	return err
}
