package config

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

// Config is the configuration of the daemon: the values of the command line, the environment and the file of -config.
type Config struct {
	Dir                             string
	Opts                            spoolgore.Options // without the values that stand in files, which Complete adds
	Relay                           relaySettings     // for Opts.SMTPAddr
	RelaysFile                      string
	OnFail                          string // command for each message given up; empty: none
	HTTP, HTTPToken, HTTPTokenFile  string // HTTP is the address of the page; empty: no page
	Bounce                          bool
	Once, LogJSON, Verbose, Version bool
	File                            string             // of -config; empty: none
	Print                           bool               // -printconfig
	From                            map[string]Setting // every setting that is not a default, by key

	md5User, md5Password string
	badToken             bool // -smtptoken had a value that is neither yes nor no
}

// relaySettings is short for the settings of a relay.
type relaySettings = relayfile.Settings

// parse reads the command line of the daemon, the environment, and the file of -config. The error is flag.ErrHelp if help
// was asked for.
func Parse(args []string, env func(string) string) (Config, error) {
	c, operands, err := Configure(args, env, nil)
	if c.Version || errors.Is(err, flag.ErrHelp) {
		return c, err
	}
	switch {
	case len(operands) > 1 && c.Relay.Token: // the first one may be a token, which is not to be shown
		return c, errors.New("one directory at a time; -smtptoken takes no value, the token is the password")
	case len(operands) > 1:
		return c, tooMany(operands)
	case len(operands) == 1 && operands[0] == "": // an unset variable in a script: not the current directory
		return c, errors.New("the name of the directory is empty")
	case err != nil:
		return c, err
	case len(operands) == 1:
		c.Dir, c.From["dir"] = operands[0], Setting{"dir", operands[0], OnCommandLine, "the command line"}
	case c.Dir == "" && !c.Print:
		return c, errors.New("which directory is the spool? Name it behind the flags, in SPOOLGORE_DIR, or as dir in the file of -config")
	}
	return c, nil
}

// flags are the flags of the daemon, bound to c.
func Flags(c *Config) *flag.FlagSet {
	fs := flag.NewFlagSet("spoolgore", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run says what is wrong, once
	fs.StringVar(&c.Opts.SMTPAddr, "smtpaddr", "127.0.0.1:25", "")
	fs.StringVar(&c.RelaysFile, "relays", "", "")
	loginFlags(fs, c)
	fs.StringVar(&c.Relay.TLS, "smtptls", "", "")
	fs.StringVar(&c.Relay.CA, "smtpca", "", "")
	fs.StringVar(&c.Relay.Cert, "smtpcert", "", "")
	fs.StringVar(&c.Relay.Key, "smtpkey", "", "")
	fs.StringVar(&c.Relay.Pin, "smtppin", "", "")
	fs.Var((*Span)(&c.Opts.SMTPTimeout), "smtptimeout", "")
	fs.StringVar(&c.Opts.LocalName, "localname", "", "")
	fs.Var((*count)(&c.Opts.Concurrency), "concurrency", "")
	fs.Var((*rate)(&c.Opts.Rate), "rate", "")
	fs.BoolVar(&c.Opts.SMTP.NoPipelining, "nopipelining", false, "")
	fs.BoolVar(&c.Opts.SMTP.NoChunking, "nochunking", false, "")
	fs.Var((*count)(&c.Opts.SMTP.Window), "window", "")
	fs.Var((*Span)(&c.Opts.Freq), "freq", "")
	fs.Var((*count)(&c.Opts.Attempts), "attempts", "")
	fs.Var((*Span)(&c.Opts.MaxAge), "maxage", "")
	fs.BoolVar(&c.Bounce, "bounce", true, "")
	fs.Var((*Span)(&c.Opts.WarnAfter), "warnafter", "")
	fs.StringVar(&c.OnFail, "onfail", "", "")
	fs.StringVar(&c.Opts.StatusFile, "json", "", "")
	fs.StringVar(&c.HTTP, "http", "", "")
	fs.StringVar(&c.HTTPToken, "httptoken", "", "")
	fs.StringVar(&c.HTTPTokenFile, "httptokenfile", "", "")
	fs.BoolVar(&c.Once, "once", false, "")
	fs.BoolVar(&c.LogJSON, "logjson", false, "")
	fs.BoolVar(&c.Verbose, "verbose", false, "")
	fs.StringVar(&c.File, "config", "", "")
	fs.BoolVar(&c.Print, "printconfig", false, "")
	fs.BoolVar(&c.Version, "version", false, "")
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

// Span is a time as a flag: in seconds, as the 2014 tool took it, or as Go writes it. It is more than zero, as zero
// would mean the default.
type Span time.Duration

func (s *Span) String() string { return time.Duration(*s).String() }

func (s *Span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, plain := strconv.ParseUint(text, 10, 32); plain == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d <= 0 {
		return errors.New("want a time of more than zero, such as 10 (seconds), 500ms or 1m")
	}
	*s = Span(d)
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

// LogLevel returns the lowest level that is logged.
func (c *Config) LogLevel() slog.Level {
	if c.Verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
