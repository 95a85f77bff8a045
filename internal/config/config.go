package config

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/proxydial"
	"github.com/unbit/spoolgore/internal/retry"
)

// A Rank is the kind of source of a setting. A setting of a higher rank overrides those of lower ranks.
type Rank int

const (
	InFile Rank = iota + 1
	InEnvironment
	OnCommandLine
)

// A Setting is the value of a key and its source: the origin is "-freq", "SPOOLGORE_FREQ" or "/etc/spoolgore.conf:7".
type Setting struct {
	Key, Value string
	Rank       Rank
	Origin     string
}

// A Error is a mistake in the environment or in a file: something to put right, rather than a wrong call.
type Error struct{ err error }

// Error implements error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// rivals are keys of which only the highest rank counts: a password on the command line overrides the password file of
// a configuration.
var rivals = [][]string{
	{"smtpuser", "smtpmd5user"},
	{"smtppassword", "smtppasswordfile", "smtppasswordcmd", "smtpmd5password", "smtpoauth"},
	{"httptoken", "httptokenfile"},
}

// rivalsOf returns the rivals of key, including key.
func rivalsOf(key string) []string {
	for _, r := range rivals {
		if slices.Contains(r, key) {
			return r
		}
	}
	return []string{key}
}

// Configure returns the configuration of the daemon: flags in args override the environment, and the environment
// overrides the file of -config. Other settings are zero, for which the package has its defaults. own adds flags; nil:
// none. The operands are the arguments after the flags. Config.Dir is the spool of the environment or the file. The
// error is flag.ErrHelp for -help, and an *Error for a mistake outside of args. With -version, environment and file are
// not read.
func Configure(args []string, env func(string) string, own func(*FlagSet)) (c Config, operands []string, err error) {
	return configure(args, env, own, false)
}

// ConfigureAnywhere is Configure for a command whose flags may stand after its operands, too. All arguments after "--"
// are operands. Without -config it uses the file of findFile.
func ConfigureAnywhere(args []string, env func(string) string, own func(*FlagSet)) (Config, []string, error) {
	var unused Config
	fs := Flags(&unused)
	own(fs)
	return configure(flagsFirst(fs, args), env, own, true)
}

func configure(args []string, env func(string) string, own func(*FlagSet), find bool) (
	c Config, operands []string, err error,
) {
	fs := Flags(&c)
	if own != nil {
		own(fs)
	}
	if err := fs.Parse(args); err != nil || c.Version {
		return c, nil, err
	}
	if c.badToken {
		return c, fs.Args(), errors.New("-smtptoken is a switch: the token is the password")
	}
	c.From = make(map[string]Setting)
	fs.Visit(func(f *flag.Flag) {
		c.From[f.Name] = Setting{f.Name, f.Value.String(), OnCommandLine, "-" + f.Name}
	})
	if err := c.take(fs, environment(env)); err != nil {
		return c, fs.Args(), err
	}
	if find && c.From["config"].Rank == 0 {
		if err := c.findFile(env); err != nil {
			return c, fs.Args(), &Error{err}
		}
	}
	if err := c.readFile(fs); err != nil {
		return c, fs.Args(), err
	}
	return c, fs.Args(), c.blame(c.finish(env))
}

// finish checks the settings that depend on each other.
func (c *Config) finish(env func(string) string) error {
	c.Opts.NoReports = !c.Bounce
	if err := c.addresses(); err != nil {
		return err
	}
	if c.retry != "" {
		after, err := retry.Parse(c.retry)
		if err != nil {
			return fmt.Errorf("-retry: %w", err)
		}
		c.Opts.Backoff = func(attempts int) time.Duration {
			return time.Duration(float64(after(attempts)) * (0.9 + 0.2*rand.Float64()))
		}
	}
	if err := checkListen(c); err != nil {
		return err
	}
	if err := c.login(env); err != nil {
		return err
	}
	if err := c.Relay.Check("-smtp"); err != nil {
		return err
	}
	return c.webToken(env)
}

// addresses checks the settings of TLS versions and address families.
func (c *Config) addresses() error {
	if c.ip4 && c.ip6 {
		return errors.New("-ip4 and -ip6: only one of them")
	}
	if c.ip4 {
		c.Opts.SMTP.Family = "4"
	}
	if c.ip6 {
		c.Opts.SMTP.Family = "6"
	}
	if c.Opts.SMTPAddr == "" {
		return errors.New("-smtpaddr is empty: write the address of the relay, such as mail.example.com:587")
	}
	if v := c.Opts.SMTP.TLSMin; v != "" && !slices.Contains([]string{"1.0", "1.1", "1.2", "1.3"}, v) {
		return errors.New("-smtptlsmin is none of 1.0, 1.1, 1.2, 1.3")
	}
	return nil
}

// flagsFirst moves the operands in args behind the flags. An unknown flag, or one with a wrong value, stays first among
// the rest.
func flagsFirst(fs *FlagSet, args []string) []string {
	var front, operands []string
	for {
		if err := fs.Parse(args); err != nil {
			return append(front, args...)
		}
		rest := fs.Args()
		read := args[:len(args)-len(rest)]
		if n := len(read); n > 0 && read[n-1] == "--" {
			return append(append(append(front, read[:n-1]...), "--"), append(operands, rest...)...)
		}
		front = append(front, read...)
		if len(rest) == 0 {
			return append(append(front, "--"), operands...)
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
}

// variable is the environment variable for a key.
func variable(key string) string { return "SPOOLGORE_" + strings.ToUpper(key) }

// environment returns the settings of the environment. An empty variable is ignored. Passwords are left to login,
// because they count only if there is a user.
func environment(env func(string) string) (settings []Setting) {
	for _, key := range append([]string{"config"}, conf.Names()...) {
		if k, _ := conf.Find(key); key != "config" && k.Of&conf.Daemon == 0 || key == "smtppassword" ||
			key == "smtpmd5password" || key == "from" && env("SPOOLGORE_WHY") != "" { // for an -onfail command
			continue
		}
		if value := env(variable(key)); value != "" {
			settings = append(settings, Setting{key, value, InEnvironment, variable(key)})
		}
	}
	return settings
}

// readFile takes the settings of the file of -config.
func (c *Config) readFile(fs *FlagSet) error {
	if c.File == "" {
		if o, ok := c.From["config"]; ok {
			return fmt.Errorf("the name of the file is empty: %s", o.Origin) // an unset variable in a script
		}
		return nil
	}
	settings, err := FileSettings(c.File, c.From["config"].Origin)
	if err != nil {
		return &Error{err}
	}
	for _, s := range settings {
		if s.Key == "smtpaddr" {
			c.fileRelay = s.Value
		}
	}
	return c.take(fs, settings)
}

// FileSettings returns the lines of a file. origin, usually -config, is the source of its name. The error is that of an
// unknown or repeated key.
func FileSettings(path, origin string) (settings []Setting, err error) {
	lines, err := conf.Read(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", origin, err)
	}
	if err := conf.Check(lines, conf.Names()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	first := make(map[string]int)
	for _, l := range lines {
		at := fmt.Sprintf("%s:%d", path, l.Line)
		if key, _ := conf.Find(l.Key); first[l.Key] > 0 && !key.Many {
			return nil, fmt.Errorf("%s: %s is set twice, first in line %d: remove one", at, l.Key, first[l.Key])
		}
		first[l.Key] = l.Line
		value, err := fileValue(path, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", at, l.Key, err)
		}
		settings = append(settings, Setting{l.Key, value, InFile, at})
	}
	return settings, nil
}

// fileValue returns the value of a line of a file. Names of files are relative to its directory, and dir may have %u
// and %h.
func fileValue(path string, line conf.Setting) (string, error) {
	key, _ := conf.Find(line.Key)
	switch {
	case line.Value == "":
		return "", nil
	case key.Name == "dir":
		return conf.Expand(line.Value, loginName, homeDirectory)
	case key.Name == "json" && !filepath.IsAbs(line.Value):
		return "", fmt.Errorf("%q is not an absolute path", line.Value)
	case key.File && !filepath.IsAbs(line.Value):
		return filepath.Join(filepath.Dir(path), line.Value), nil
	}
	return line.Value, nil
}

// loginName returns the name of the user of the daemon; empty: unknown.
func loginName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// homeDirectory returns the home directory of the user of the daemon. The password file overrides $HOME. Empty:
// unknown.
func homeDirectory() string {
	if u, err := user.Current(); err == nil && filepath.IsAbs(u.HomeDir) {
		return u.HomeDir
	}
	home, _ := os.UserHomeDir()
	return home
}

// take takes settings of one rank, unless a higher rank has set them. It checks all of them.
func (c *Config) take(fs *FlagSet, settings []Setting) error {
	above := make(map[string]bool)
	for key := range c.From {
		for _, rival := range rivalsOf(key) {
			above[rival] = true
		}
	}
	for _, s := range settings {
		into, set := c, fs
		if above[s.Key] {
			into = new(Config)
			set = Flags(into)
		}
		if err := into.set(set, s); err != nil {
			return &Error{fmt.Errorf("%s: %s: %w", s.Origin, s.Key, err)}
		}
		if !above[s.Key] {
			c.From[s.Key] = s
		}
	}
	return nil
}

// set sets one value. Its errors do not name the key.
func (c *Config) set(fs *FlagSet, s Setting) error {
	if s.Key == "dir" {
		if c.Dir = s.Value; s.Value == "" {
			return errors.New("there is no value")
		}
		return nil
	}
	if k, ok := conf.Find(s.Key); ok && k.Of&conf.Daemon == 0 {
		return nil // a setting of sendmail-spool, which checks it
	}
	value := fs.Lookup(s.Key).Value
	if b, ok := value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
		text, ok := map[string]string{
			"": "true", "yes": "true", "true": "true", "1": "true", "no": "false", "false": "false", "0": "false",
		}[strings.ToLower(s.Value)]
		switch {
		case !ok && s.Key == "smtptoken":
			return errors.New("want yes or no: the token is the password") // and is not to be shown
		case !ok:
			return fmt.Errorf("%q: want yes or no", s.Value)
		}
		return value.Set(text)
	}
	if s.Value == "" {
		return errors.New("there is no value")
	}
	if err := value.Set(s.Value); err != nil {
		return err
	}
	return checkValue(s.Key, s.Value)
}

// checkValue checks values that their flags do not check, so that the error has an origin.
func checkValue(key, value string) error {
	switch key {
	case "smtpaddr":
		return CheckAddresses(value)
	case "smtptls":
		return (relaySettings{TLS: value}).Check("smtp")
	case "smtpauth":
		return (relaySettings{User: "u", Auth: value}).Check("smtp")
	case "smtppin":
		return (relaySettings{Pin: value}).Check("smtp")
	case "smtpproxy", "smtpsource":
		settings := map[string]proxydial.Settings{"smtpproxy": {Proxy: value}, "smtpsource": {Source: value}}
		_, err := proxydial.New(settings[key])
		return err
	case "smtptlsname":
		return (relaySettings{TLSName: value}).Check("smtp")
	}
	return nil
}

// blame adds to an error of the login and TLS settings the origins of the settings that are not on the command line.
func (c *Config) blame(err error) error {
	if err == nil {
		return nil
	}
	var where []string
	for _, k := range conf.Keys {
		if o := c.From[k.Name]; o.Rank != 0 && o.Rank != OnCommandLine && strings.HasPrefix(k.Name, "smtp") &&
			k.Name != "smtpaddr" {
			where = append(where, k.Name+" is from "+o.Origin)
		}
	}
	if len(where) == 0 {
		return err
	}
	return &Error{fmt.Errorf("%w (%s)", err, strings.Join(where, ", "))}
}

// UnknownVariables returns the variables in environ, as of os.Environ, that are similar to a known one, each with the
// known one.
func UnknownVariables(environ []string) (pairs [][2]string) {
	// but for the first, of -onfail commands
	known := []string{"config", "event", "relay", "file", "why", "from", "to", "reason", "message_id"}
	for _, k := range conf.Keys {
		if k.Of&conf.Daemon != 0 {
			known = append(known, k.Name)
		}
	}
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		key, ours := strings.CutPrefix(name, "SPOOLGORE_")
		if key = strings.ToLower(key); !ours || slices.Contains(known, key) {
			continue
		}
		if near := conf.Nearest(key, known); near != "" {
			pairs = append(pairs, [2]string{name, variable(near)})
		}
	}
	return pairs
}
