package shim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Default limits for each user of a shared spool.
const (
	sharedUserFiles = "10000"
	sharedUserSize  = "1G"
	sharedMaxSize   = "50M"
)

// value is a setting and the place where the command found the setting.
type value struct{ value, origin string }

// config is the configuration of one call.
type config struct {
	dir, domain, aliases, json value
	temporary                  value            // patterns of temporary names; without an origin: the default patterns
	sizes                      map[string]value // maxsize, userfiles, usersize
	maxTo                      value            // maxrecipients
	most                       int              // recipients of a message
	maxSize                    int64            // of a message, in bytes; zero: no limit
	userFiles, userSize        int64            // of one user in the spool; zero: no limit
	notes                      []string         // files and lines that were ignored, for -bP
}

// config returns the configuration. For each key the order is: $SPOOLGORE_DIR, the caller's file, the system's file. A
// command with a group of its own reads only the system's file.
func (sys system) config() (config, error) {
	c := config{sizes: map[string]value{}}
	paths := []string{filepath.Join(sys.etc, "spoolgore.conf")}
	if own := sys.userConfig(); own != "" && !sys.elevated {
		paths = append(paths, own)
	}
	if sys.elevated {
		const origin = "the default of a command with a group of its own"
		c.sizes["userfiles"], c.sizes["usersize"] = value{sharedUserFiles, origin}, value{sharedUserSize, origin}
		c.sizes["maxsize"] = value{sharedMaxSize, origin}
	}
	for _, path := range paths {
		var own *exitError
		if err := c.read(sys, path); errors.As(err, &own) {
			return c, err
		} else if err != nil {
			return c, fail(exitConfig, "%w", err)
		}
	}
	if err := c.complete(sys); err != nil {
		return c, fail(exitConfig, "%w", err)
	}
	return c, nil
}

// read takes the settings from the file at path. A missing file is no error, also if the home directory is no
// directory: that of some system users is /dev/null. A file that the caller may not read is ignored: the file may hold
// the daemon's passwords. A command with a group of its own fails instead, because the file may hold the limits for
// each user.
func (c *config) read(sys system, path string) error {
	settings, err := conf.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil
	case errors.Is(err, fs.ErrPermission) && sys.elevated:
		const hint = "the command reads the file with its caller's rights: mode 0644, and passwords in another file"
		return fail(exitTempFail, "%w (%s)", err, hint)
	case errors.Is(err, fs.ErrPermission):
		c.notes = append(c.notes, fmt.Sprintf("not read: %v", err))
		return nil
	case err != nil:
		return err
	}
	if slices.ContainsFunc(settings, func(s conf.Setting) bool { return s.Key == "dir" }) {
		c.json, c.temporary = value{}, value{} // those of an earlier file are for another spool
	}
	for _, s := range settings {
		v := value{s.Value, fmt.Sprintf("%s, line %d", path, s.Line)}
		switch s.Key {
		case "dir":
			c.dir = v
		case "domain":
			c.domain = v
		case "aliases":
			c.aliases = v
		case "json":
			c.json = v
		case "temporary":
			c.temporary = v
		case "maxrecipients":
			c.maxTo = v
		case "maxsize", "userfiles", "usersize":
			c.sizes[s.Key] = v
		default:
			// The key belongs to the daemon or is wrong. A wrong key stops the daemon, but must not stop mail.
			if err := conf.Check([]conf.Setting{s}, conf.Names()); err != nil {
				c.notes = append(c.notes, fmt.Sprintf("%s: %v", path, err))
			}
		}
	}
	return nil
}

// complete sets defaults for missing keys and checks all values.
func (c *config) complete(sys system) error {
	if c.dir.value != "" {
		dir, err := conf.Expand(c.dir.value, sys.login, sys.home)
		if err != nil {
			return fmt.Errorf("%s: dir: %w", c.dir.origin, err)
		}
		c.dir.value = dir
	}
	if env := sys.env("SPOOLGORE_DIR"); env != "" {
		if c.dir.value != "" && filepath.Clean(c.dir.value) != filepath.Clean(env) {
			c.json, c.temporary = value{}, value{}
		}
		c.dir = value{env, "$SPOOLGORE_DIR"}
	}
	if c.dir.value == "" {
		if fi, err := os.Stat(sys.spool); err == nil && fi.IsDir() {
			c.dir = value{sys.spool, "it is there"}
		}
	}
	for key, to := range map[string]*int64{"maxsize": &c.maxSize, "userfiles": &c.userFiles, "usersize": &c.userSize} {
		v, ok := c.sizes[key]
		if !ok {
			continue
		}
		n, err := conf.Size(v.value)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", v.origin, key, err)
		}
		*to = n
	}
	if err := c.completeMost(); err != nil {
		return err
	}
	if c.aliases.value == "" {
		c.aliases = sys.hostAliases()
	}
	if c.aliases.value == "none" {
		c.aliases.value = ""
	}
	if c.aliases.value != "" && !filepath.IsAbs(c.aliases.value) {
		return fmt.Errorf("%s: aliases: %q is not an absolute path", c.aliases.origin, c.aliases.value)
	}
	return c.completeDomain(sys)
}

// completeMost sets the number of recipients of a message.
func (c *config) completeMost() (err error) {
	if c.most = record.MaxRecipients; c.maxTo.value == "" {
		return nil
	}
	if c.most, err = strconv.Atoi(c.maxTo.value); err != nil || c.most < 1 || c.most > record.MostRecipients {
		return fmt.Errorf("%s: maxrecipients: want a number from 1 to %d", c.maxTo.origin, record.MostRecipients)
	}
	return nil
}

// temporaryNames returns the patterns of temporary names; nil: the default patterns.
func (c *config) temporaryNames() []string {
	if c.temporary.origin == "" {
		return nil
	}
	return append([]string{}, strings.Fields(c.temporary.value)...)
}

// hostAliases returns the alias file of the host. The value is empty if the caller cannot read the file.
func (sys system) hostAliases() value {
	path, err := filepath.EvalSymlinks(filepath.Join(sys.etc, "aliases"))
	if err != nil {
		return value{}
	}
	f, err := spooldir.OpenRead(path)
	if err != nil {
		return value{}
	}
	f.Close()
	return value{path, "it is there"}
}

// completeDomain sets the domain for addresses without a domain: the configured domain, /etc/mailname, the name of the
// host, or localhost.
func (c *config) completeDomain(sys system) error {
	if c.domain.value != "" {
		if !isDomain(c.domain.value) {
			return fmt.Errorf("%s: domain: %q is not a domain", c.domain.origin, c.domain.value)
		}
		return nil
	}
	mailname := filepath.Join(sys.etc, "mailname")
	if text, err := os.ReadFile(mailname); err == nil {
		c.domain = value{strings.TrimSpace(string(text)), mailname}
	}
	if !isDomain(c.domain.value) {
		name, _ := sys.hostname()
		c.domain = value{name, "the name of the host"}
	}
	if !isDomain(c.domain.value) {
		c.domain = value{"localhost", "there is no other"}
	}
	return nil
}

func isDomain(name string) bool { return message.CheckAddress("a@"+name) == nil }

// spool returns the configured spool directory.
func (c *config) spool() (*spooldir.Dir, error) {
	if c.dir.value == "" {
		text := "no spool: neither $SPOOLGORE_DIR, nor dir in a configuration, nor /var/spool/spoolgore is there; " +
			"make the directory, or name another one"
		if len(c.notes) > 0 {
			text += "; " + strings.Join(c.notes, "; ")
		}
		return nil, fail(exitConfig, "%s", text)
	}
	dir, err := spooldir.New(c.dir.value)
	if err != nil {
		return nil, fail(exitConfig, "%w", err)
	}
	return dir, nil
}

// showConfig is -bP: it prints each setting with its origin.
func (s *shim) showConfig() error {
	c := &s.conf
	show := func(key string, v value) {
		if v.value != "" {
			fmt.Fprintf(s.stdout, "%-9s %s (%s)\n", key, oneLine(v.value), oneLine(v.origin))
		}
	}
	show("dir", c.dir)
	show("domain", c.domain)
	show("aliases", c.aliases)
	show("json", c.json)
	show("temporary", c.temporary)
	show("maxrecipients", c.maxTo)
	for _, key := range []string{"maxsize", "userfiles", "usersize"} {
		show(key, c.sizes[key])
	}
	for _, note := range c.notes {
		fmt.Fprintln(s.stdout, oneLine(note))
	}
	spool, err := c.spool()
	if err != nil {
		return err
	}
	if fi, err := os.Stat(spool.Path()); err != nil {
		return err
	} else if !fi.IsDir() {
		return fail(exitCantCreate, "%s is not a directory", spool.Path())
	}
	return nil
}
