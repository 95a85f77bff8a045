package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/conf"
)

// A rank is where a setting stands. One of a higher rank counts, whatever the lower ones say.
type rank int

const (
	inFile rank = iota + 1
	inEnvironment
	onCommandLine
)

// A setting is a value for a key, and where it stands: the origin is "-freq", "SPOOLGORE_FREQ" or "/etc/spoolgore.conf:7".
type setting struct {
	key, value string
	rank       rank
	origin     string
}

// A configError is a mistake in the environment or in a file: something to put right, rather than a wrong call.
type configError struct{ err error }

// Error implements error.
func (e *configError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *configError) Unwrap() error { return e.err }

// rivals are settings of which one rank has the say: a password on the command line leaves that of a file out of account.
var rivals = [][]string{
	{"smtpuser", "smtpmd5user"},
	{"smtppassword", "smtppasswordfile", "smtppasswordcmd", "smtpmd5password"},
	{"httptoken", "httptokenfile"},
}

// rivalsOf are those of key, and key itself.
func rivalsOf(key string) []string {
	for _, r := range rivals {
		if slices.Contains(r, key) {
			return r
		}
	}
	return []string{key}
}

// configure is what the daemon's flags say in args and, where these say nothing, the environment and then the file of
// -config; what none of them says is zero, for which the package has its defaults. It serves every command that has
// these flags: own adds flags of its own, and may be nil. The operands are what follows the flags; what they mean is the
// caller's, and config.dir is the spool directory that the environment or the file names; empty: they name none. The error
// is flag.ErrHelp if help was asked for, and a *configError if the mistake is not in args. With -version nothing is looked at.
func configure(args []string, env func(string) string, own func(*flag.FlagSet)) (c config, operands []string, err error) {
	fs := flags(&c)
	if own != nil {
		own(fs)
	}
	if err := fs.Parse(args); err != nil || c.version {
		return c, nil, err
	}
	if c.badToken {
		return c, fs.Args(), errors.New("-smtptoken is a switch: the token is the password")
	}
	c.from = make(map[string]setting)
	fs.Visit(func(f *flag.Flag) {
		c.from[f.Name] = setting{f.Name, f.Value.String(), onCommandLine, "-" + f.Name}
	})
	if err := c.take(fs, environment(env)); err != nil {
		return c, fs.Args(), err
	}
	if err := c.readFile(fs); err != nil {
		return c, fs.Args(), err
	}
	c.opts.NoReports = !c.bounce
	err = c.login(env)
	if err == nil {
		err = c.relay.Check("-smtp")
	}
	if err == nil {
		err = c.webToken(env)
	}
	return c, fs.Args(), c.blame(err)
}

// variable is the environment variable for a key.
func variable(key string) string { return "SPOOLGORE_" + strings.ToUpper(key) }

// environment is what the environment sets. An empty variable sets nothing. The passwords themselves are left to login, as
// those of somebody who does not log in count for nothing.
func environment(env func(string) string) (settings []setting) {
	for _, key := range append([]string{"config"}, conf.Names()...) {
		if k, _ := conf.Find(key); key != "config" && k.Of&conf.Daemon == 0 || key == "smtppassword" || key == "smtpmd5password" {
			continue
		}
		if value := env(variable(key)); value != "" {
			settings = append(settings, setting{key, value, inEnvironment, variable(key)})
		}
	}
	return settings
}

// readFile takes the settings of the file of -config, if there is one.
func (c *config) readFile(fs *flag.FlagSet) error {
	if c.file == "" {
		if o, ok := c.from["config"]; ok {
			return fmt.Errorf("the name of the file is empty: %s", o.origin) // an unset variable in a script
		}
		return nil
	}
	settings, err := fileSettings(c.file, c.from["config"].origin)
	if err != nil {
		return &configError{err}
	}
	return c.take(fs, settings)
}

// fileSettings are the lines of the file that origin, usually -config, names: all of them with keys that are known and there once.
func fileSettings(path, origin string) (settings []setting, err error) {
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
		if first[l.Key] > 0 {
			return nil, fmt.Errorf("%s: %s is there twice, the first is in line %d: leave one", at, l.Key, first[l.Key])
		}
		first[l.Key] = l.Line
		value, err := fileValue(path, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", at, l.Key, err)
		}
		settings = append(settings, setting{l.Key, value, inFile, at})
	}
	return settings, nil
}

// fileValue is the value of a line of a file: the names of files in it are relative to its directory, and dir may hold %u
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

// loginName is the name of the user who runs the daemon; empty: it is not known.
func loginName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// homeDirectory is that of the user who runs the daemon, by the password file before $HOME; empty: it is not known.
func homeDirectory() string {
	if u, err := user.Current(); err == nil && filepath.IsAbs(u.HomeDir) {
		return u.HomeDir
	}
	home, _ := os.UserHomeDir()
	return home
}

// take sets what higher ranks have not set; a mistake in what they have is told all the same. The settings are of one rank.
func (c *config) take(fs *flag.FlagSet, settings []setting) error {
	above := make(map[string]bool)
	for key := range c.from {
		for _, rival := range rivalsOf(key) {
			above[rival] = true
		}
	}
	for _, s := range settings {
		into, set := c, fs
		if above[s.key] {
			into = new(config)
			set = flags(into)
		}
		if err := into.set(set, s); err != nil {
			return &configError{fmt.Errorf("%s: %s: %w", s.origin, s.key, err)}
		}
		if !above[s.key] {
			c.from[s.key] = s
		}
	}
	return nil
}

// set sets one value. Its errors do not name the key.
func (c *config) set(fs *flag.FlagSet, s setting) error {
	if s.key == "dir" {
		if c.dir = s.value; s.value == "" {
			return errors.New("there is no value")
		}
		return nil
	}
	if k, ok := conf.Find(s.key); ok && k.Of&conf.Daemon == 0 {
		return nil // sendmail-spool's, which says itself what is wrong with it
	}
	value := fs.Lookup(s.key).Value
	if b, ok := value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
		text, ok := map[string]string{"": "true", "yes": "true", "true": "true", "1": "true", "no": "false", "false": "false", "0": "false"}[strings.ToLower(s.value)]
		switch {
		case !ok && s.key == "smtptoken":
			return errors.New("want yes or no: the token is the password") // and is not to be shown
		case !ok:
			return fmt.Errorf("%q: want yes or no", s.value)
		}
		return value.Set(text)
	}
	if s.value == "" {
		return errors.New("there is no value")
	}
	if err := value.Set(s.value); err != nil {
		return err
	}
	return checkValue(s.key, s.value)
}

// checkValue says what is wrong with some values of which their flags take all: what is told of here is told of with its
// origin.
func checkValue(key, value string) error {
	switch key {
	case "smtpaddr":
		return checkAddresses(value)
	case "smtptls":
		return (relaySettings{TLS: value}).Check("smtp")
	case "smtpauth":
		return (relaySettings{User: "u", Auth: value}).Check("smtp")
	case "smtppin":
		return (relaySettings{Pin: value}).Check("smtp")
	}
	return nil
}

// blame adds to a mistake in what the settings for the login and for TLS say together where those stand that are not on the
// command line.
func (c *config) blame(err error) error {
	if err == nil {
		return nil
	}
	var where []string
	for _, k := range conf.Keys {
		if o := c.from[k.Name]; o.rank != 0 && o.rank != onCommandLine && strings.HasPrefix(k.Name, "smtp") && k.Name != "smtpaddr" {
			where = append(where, k.Name+" is from "+o.origin)
		}
	}
	if len(where) == 0 {
		return err
	}
	return &configError{fmt.Errorf("%w (%s)", err, strings.Join(where, ", "))}
}

// strays are variables of environ, as os.Environ gives it, that are nearly one of ours, each with that one.
func strays(environ []string) (pairs [][2]string) {
	known := []string{"config", "file", "why", "from", "to", "reason", "message_id"} // but for the first, of -onfail commands
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
