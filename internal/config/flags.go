package config

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/hooks"
	"github.com/unbit/spoolgore/internal/proxydial"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/relayfile"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/sentlog"
)

// Config is the configuration of the daemon: the values of the command line, the environment and the file of -config.
type Config struct {
	Dir                             string
	Opts                            spoolgore.Options // without values of files, which Complete adds
	Relay                           relaySettings     // for Opts.SMTPAddr
	RelaysFile, SendersFile         string
	OnFail                          string // command for each message given up; empty: none
	HTTP, HTTPToken, HTTPTokenFile  string // HTTP is the address of the page; empty: no page
	Listen, ListenUser              string // address of the SMTP server, file with its users; empty: none
	ListenCert, ListenKey           string // files with the certificate of the SMTP server; empty: no TLS
	On                              []hooks.Hook
	KeepFailed                      time.Duration // age at which messages in failed/ are removed; zero: never
	Bounce                          bool
	Once, LogJSON, Verbose, Version bool
	File                            string             // of -config; empty: none
	Print, Check                    bool               // -printconfig, -checkconfig
	From                            map[string]Setting // the settings that are no defaults, by key

	md5User, md5Password string
	fileRelay            string // smtpaddr of the file of -config; empty: none
	retry                string // schedule of -retry; empty: the usual one
	ip4, ip6             bool
	dial                 proxydial.Settings // of -smtpproxy and -smtpsource
	badToken             bool               // -smtptoken had a value that is neither yes nor no
}

// relaySettings is short for the settings of a relay.
type relaySettings = relayfile.Settings

// Parse reads the command line of the daemon, the environment, and the file of -config. The error is flag.ErrHelp for
// -help.
func Parse(args []string, env func(string) string) (Config, error) {
	c, operands, err := Configure(args, env, nil)
	if c.Version || errors.Is(err, flag.ErrHelp) {
		return c, err
	}
	switch {
	case len(operands) > 1 && c.Relay.Token: // the first operand may be a token, and is not shown
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
		return c, errors.New("which directory is the spool? Name it behind the flags, in SPOOLGORE_DIR, or as dir " +
			"in the file of -config")
	}
	return c, nil
}

// Flags returns the flags of the daemon, which set the fields of c.
func Flags(c *Config) *FlagSet {
	c.Opts.SMTPAddr, c.Bounce, c.Opts.Trace = "127.0.0.1:25", true, sentlog.Default
	fs := NewFlagSet("spoolgore")
	relayFlags(fs, c)
	loginFlags(fs, c)
	tlsFlags(fs, c)
	queueFlags(fs, c)
	rewriteFlags(fs, c)
	fs.Heading("Page and metrics")
	fs.AddString(&c.HTTP, "http", "ADDRESS",
		"show the spool over HTTP: a page at /, /metrics, /healthz, /status. HOST:PORT; "+
			"without a HOST, as 8025, only users of this host can reach it. unix:/PATH is a socket "+
			"for the user and the group of the daemon")
	fs.AddString(&c.HTTPTokenFile, "httptokenfile", "FILE",
		"a file with one line of at least 16 characters: the password "+
			"of the page, with any name, or Authorization: Bearer. Needed if other hosts can reach "+
			"the page, and on a spool that users share")
	fs.AddString(&c.HTTPToken, "httptoken", "TOKEN", "the same; every user of this host can see it")
	fs.Term("SPOOLGORE_HTTPTOKEN", "in the environment, or the file httptoken in $CREDENTIALS_DIRECTORY: the same")
	fs.Heading("SMTP server for programs")
	fs.AddString(&c.Listen, "listen", "ADDRESS",
		"take mail by SMTP on HOST:PORT, or on a port of 127.0.0.1, as 2525; other hosts only with a login and TLS")
	fs.AddString(&c.ListenUser, "listenuser", "FILE", "require a login; lines USER:HASH, as htpasswd -B writes them")
	fs.AddString(&c.ListenCert, "listencert", "FILE", "certificate: TLS from the first octet")
	fs.AddString(&c.ListenKey, "listenkey", "FILE", "key of the certificate")
	fs.Heading("Configuration")
	fs.AddString(&c.File, "config", "FILE",
		"lines of a flag's name, blanks and a value; without it no file is read")
	fs.AddSwitch(&c.Check, "checkconfig",
		"check the configuration and its files, and end with exit code 0 or 78; the spool is not touched")
	fs.AddSwitch(&c.Print, "printconfig", "show every setting and its source, without passwords, and end")
	fs.Heading("Other")
	fs.AddSwitch(&c.LogJSON, "logjson", "log lines in JSON; the log goes to standard error")
	fs.AddSwitch(&c.Verbose, "verbose", "log more: level debug, too")
	fs.Add((*number)(&c.Opts.Trace), "trace", "N",
		"outcomes to remember in DIR/.spoolgore.sent for the command trace, between N and twice as many; 0: none")
	fs.AddSwitch(&c.Opts.ShortAddresses, "shortaddresses",
		"shorten mail addresses in the log and in .spoolgore.sent: a…@example.org")
	fs.AddSwitch(&c.Version, "version", "print the version")
	fs.Term("-help", "print this")
	for i, d := range fs.Docs {
		if k, ok := conf.Find(d.Flag); ok && k.Default != "" && k.Default != "false" {
			fs.Docs[i].Text += " (" + k.Default + ")"
		}
	}
	return fs
}

func relayFlags(fs *FlagSet, c *Config) {
	fs.Heading("Relay")
	fs.AddString(&c.Opts.SMTPAddr, "smtpaddr", "LIST",
		"the relay, as HOST:PORT, smtp://HOST, smtps://HOST, lmtp://HOST:PORT, "+
			"lmtp+unix:///PATH, mx:DOMAIN, srv:DOMAIN or the program exec:/PATH; several in order of preference, "+
			"separated by commas")
	fs.AddString(&c.RelaysFile, "relays", "FILE",
		"other relays for some senders or recipients: lines SENDER RELAYS KEY=VALUE ..., as in \"spoolgore help all\"")
	fs.Add((*Span)(&c.Opts.SMTPTimeout), "smtptimeout", "TIME", "limit of each step of a delivery")
	fs.AddString(&c.Opts.LocalName, "localname", "NAME", "name to greet the relay with")
	fs.Add((*countOrAuto)(&c.Opts.Concurrency), "concurrency", "N",
		"connections to a relay at the same time, at most; auto: 20, and up to 100 while they make the relay faster")
	fs.Add((*rate)(&c.Opts.Rate), "rate", "LIST",
		"recipients in a second, minute, hour, day, at most, as 14/s,600/m,50000/d")
	fs.AddSwitch(&c.Opts.SMTP.NoPipelining, "nopipelining",
		"do without PIPELINING and CHUNKING, even if the relay offers them")
	fs.AddSwitch(&c.Opts.SMTP.NoChunking, "nochunking", "do without CHUNKING, even if the relay offers it")
	fs.Add((*count)(&c.Opts.SMTP.Window), "window", "N",
		"small messages that may share a flight where the relay offers CHUNKING: "+
			"as many can arrive twice after a lost connection")
	fs.Add((*count)(&c.Opts.SMTP.Recipients), "recipients", "N",
		"recipients in a transaction, at most; a limit of the relay is learnt, too")
	fs.Add(&rewriteFlag{&c.Opts.SMTP.ReportFrom, func(s *rewrite.Settings, v string) { s.Redirect = v }}, "reportfrom",
		"ADDRESS", "sender of reports for a relay that refuses the null sender")
	fs.AddSwitch(&c.Opts.SMTP.NoQuotas, "noquotas",
		"give mail up for a reply 5yz about a quota or the account, and not wait until the quota is free again")
	fs.Add((*Span)(&c.Opts.SMTP.Idle), "smtpidle", "TIME", "time after which an idle connection is closed")
	fs.AddSwitch(&c.ip4, "ip4", "connect over IPv4 only")
	fs.AddSwitch(&c.ip6, "ip6", "connect over IPv6 only")
	fs.AddString(&c.dial.Source, "smtpsource", "ADDRESS", "IP address of this host for the connections to relays")
	fs.AddString(&c.dial.Proxy, "smtpproxy", "URL",
		"connect to relays through a proxy: socks5://HOST:PORT, http://HOST:PORT or https://HOST:PORT, with "+
			"USER:PASSWORD@ before the host if needed")
}

func tlsFlags(fs *FlagSet, c *Config) {
	fs.Heading("TLS")
	fs.AddString(&c.Relay.TLS, "smtptls", "MODE",
		"auto: from the first byte on port 465, else STARTTLS where it is offered; "+
			"starttls: it must be offered; tls: from the first byte; none")
	fs.AddString(&c.Opts.SMTP.TLSMin, "smtptlsmin", "VERSION",
		"lowest version of TLS: 1.0, 1.1, 1.2 or 1.3. Below 1.2, weak ciphers are allowed: others may read the mail")
	fs.AddString(&c.Relay.CA, "smtpca", "FILE", "certificates (PEM) of the only authorities to trust")
	fs.AddString(&c.Relay.Cert, "smtpcert", "FILE", "certificate (PEM) to show to the relay")
	fs.AddString(&c.Relay.Key, "smtpkey", "FILE", "its key (PEM)")
	fs.AddString(&c.Relay.Pin, "smtppin", "LIST",
		"sha256//BASE64 of public keys, separated by commas: the relay must have one of "+
			"them, and its certificate is not verified further")
	fs.AddString(&c.Relay.TLSName, "smtptlsname", "NAME",
		"host name that the certificate of the relay must have; a login at mx:DOMAIN "+
			"needs it, or -smtppin or -smtpca")
}

func queueFlags(fs *FlagSet, c *Config) {
	fs.Heading("Queue")
	fs.Add((*Span)(&c.Opts.Freq), "freq", "TIME", "time between two scans of the directory")
	fs.Add((*Span)(&c.Opts.Settle), "settle", "TIME",
		"a file that is written in the spool itself is read when it has not changed for so long")
	fs.Add((*patterns)(&c.Opts.TemporaryNames), "temporary", "LIST",
		"patterns of names, separated by spaces: such a file is "+
			"read when it has not changed for an hour")
	fs.AddString(&c.retry, "retry", "LIST",
		"pauses after the first, the second ... failed attempt, as 1m,5m*2,1h: "+
			"*N repeats a pause, the last pause holds for all further attempts")
	fs.Add((*count)(&c.Opts.Attempts), "attempts", "N",
		"failed attempts after which a recipient is given up; the age of the message decides in any case")
	fs.Add((*recipients)(&c.Opts.MaxRecipients), "maxrecipients", "N",
		"recipients of a message, at most; a message with more is given up, and its sender gets a report")
	fs.Add((*Span)(&c.Opts.MaxAge), "maxage", "TIME", "age at which a message is given up")
	fs.AddSwitch(&c.Bounce, "bounce",
		"send a report to the sender of a message that was given up; -bounce=false: no reports")
	fs.AddSwitch(&c.Opts.PickupDots, "pickupdots",
		"in pickup files (X-Receiver) a line that begins with a dot has another dot in front")
	fs.Add((*Span)(&c.Opts.WarnAfter), "warnafter", "TIME",
		"age at which the sender of a message gets one report that it is delayed")
	fs.AddString(&c.OnFail, "onfail", "COMMAND",
		"for each message that was given up, run /bin/sh -c COMMAND, one at a time and for "+
			"at most 30 seconds, with SPOOLGORE_FILE (the message in failed/), SPOOLGORE_WHY (the JSON file "+
			"beside it), "+
			"SPOOLGORE_FROM, SPOOLGORE_TO (a line for each recipient given up), SPOOLGORE_REASON and "+
			"SPOOLGORE_MESSAGE_ID in its environment")
	fs.AddFunc(func(text string) error { return addHook(c, text) }, "on", "EVENTS=COMMAND",
		"for each event, run /bin/sh -c COMMAND with the event as JSON on standard input, one at a time "+
			"and for at most 30 seconds; a failure is tried again twice. Events, separated by commas: failed, "+
			"relay-down, relay-up, oldest=AGE (a message waits so long). May be given several times")
	fs.Add((*Span)(&c.KeepFailed), "keepfailed", "AGE", "remove messages from failed/ after AGE, such as 30d")
	fs.AddString(&c.Opts.StatusFile, "json", "PATH", "the status file")
	fs.AddSwitch(&c.Once, "once", "try everything that is due once, and end")
}

// addHook adds the hook of -on.
func addHook(c *Config, text string) error {
	h, err := hooks.Parse(text, func(age string) (time.Duration, error) {
		var s Span
		err := s.Set(age)
		return time.Duration(s), err
	})
	if err == nil {
		c.On = append(c.On, h)
	}
	return err
}

// Hooks returns the hooks of -on and -onfail in c.
func Hooks(c *Config) []hooks.Hook {
	all := slices.Clone(c.On)
	if c.OnFail != "" {
		all = append(all, hooks.OnFail(c.OnFail))
	}
	return all
}

// tooMany returns the error for more than one operand. Package flag stops at the first one, so that a later flag is an
// operand. The value of such a flag is not shown, because it may be a password.
func tooMany(operands []string) error {
	for _, o := range operands[1:] {
		if name, _, _ := strings.Cut(o, "="); strings.HasPrefix(name, "-") {
			return fmt.Errorf("%s comes after the directory %s: flags go before the directory", name, operands[0])
		}
	}
	text := fmt.Sprintf("one directory at a time, not %d: %s", len(operands), strings.Join(operands, ", "))
	if _, err := os.Stat(operands[0]); err != nil && !strings.ContainsAny(operands[0], `/\`) {
		text += fmt.Sprintf("; %s is neither a command nor a directory", operands[0])
	}
	return errors.New(text)
}

// Span is a duration as a flag: in seconds, as in 2014, or as Go writes it. Zero is an error, because zero would mean
// the default.
type Span time.Duration

func (s *Span) String() string { return time.Duration(*s).String() }

func (s *Span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if n, plain := strconv.ParseUint(text, 10, 32); plain == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d <= 0 {
		return errors.New("want a time of more than zero, such as 10 (seconds), 500ms, 1m or 30d")
	}
	*s = Span(d)
	return nil
}

// count is a number as a flag, at least one, because zero would mean the default.
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

// recipients is a limit for the recipients of a message as a flag.
type recipients int

func (n *recipients) String() string { return strconv.Itoa(int(*n)) }

func (n *recipients) Set(text string) error {
	if (*count)(n).Set(text) != nil || *n > record.MostRecipients {
		return fmt.Errorf("want a number from 1 to %d", record.MostRecipients)
	}
	return nil
}

// countOrAuto is a count, or zero for auto.
type countOrAuto int

func (n *countOrAuto) String() string {
	if *n == 0 {
		return "auto"
	}
	return (*count)(n).String()
}

func (n *countOrAuto) Set(text string) error {
	if text == "auto" {
		*n = 0
		return nil
	}
	if (*count)(n).Set(text) != nil {
		return errors.New("want a number, 1 or more, or auto")
	}
	return nil
}

// number is a number as a flag, or zero.
type number int

func (n *number) String() string { return strconv.Itoa(int(*n)) }

func (n *number) Set(text string) error {
	i, err := strconv.Atoi(text)
	if err != nil || i < 0 || i > maxNumber {
		return fmt.Errorf("want a number from 0 to %d", maxNumber)
	}
	*n = number(i)
	return nil
}

// maxNumber bounds a number.
const maxNumber = 10_000_000

// patterns is a list of patterns of names as a flag.
type patterns []string

func (p *patterns) String() string { return strings.Join(*p, " ") }

func (p *patterns) Set(text string) error {
	*p = strings.Fields(text)
	for _, pattern := range *p {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%q is not a pattern, such as *.tmp", pattern)
		}
	}
	if *p == nil {
		*p = patterns{} // none, and not the usual ones
	}
	return nil
}

// rate is a list of limits as a flag, as "14/s,600/m".
type rate spoolgore.Rate

func (r *rate) String() string { return spoolgore.Rate(*r).String() }

func (r *rate) Set(text string) error {
	limits, err := spoolgore.ParseRate(text)
	if err == nil && len(limits) == 0 {
		err = errors.New("want limits, such as 14/s,600/m,50000/d")
	}
	*r = rate(limits)
	return err
}

// LogLevel returns the lowest level that is logged.
func (c *Config) LogLevel() slog.Level {
	if c.Verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
