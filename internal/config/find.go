package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/message"
)

// InEtc returns the path of a file of the host's configuration.
func InEtc(name string) string {
	etc, _ := conf.Places()
	return filepath.Join(etc, name)
}

// SystemFile returns the path of the system's configuration.
func SystemFile() string { return InEtc("spoolgore.conf") }

// Found is the result of FindSpool.
type Found struct {
	Dir        string // empty: no spool is configured
	StatusFile string // empty: the usual place
	Origin     string // of Dir, as "SPOOLGORE_DIR" or "/etc/spoolgore.conf:3"

	Temporary string // patterns of temporary names, with spaces between; empty: the default patterns

	domain, aliases string // keys of sendmail-spool; empty: not set
}

// IsIn reports whether the spool is the directory dir.
func (f *Found) IsIn(dir fs.FileInfo) bool {
	fi, err := os.Stat(f.Dir)
	return err == nil && os.SameFile(fi, dir)
}

// FindSpool returns the spool of a command. It is the spool of file, if file is not empty. Otherwise each setting is
// taken from the first place that has it, as sendmail-spool does: SPOOLGORE_DIR, the file of SPOOLGORE_CONFIG, the
// user's and the system's configuration, and /var/spool/spoolgore. The user's and the system's file are ignored if they
// cannot be read, and also if the file of SPOOLGORE_CONFIG names the spool.
func FindSpool(file string, env func(string) string) (Found, error) {
	f := Found{}
	if file != "" {
		settings, err := FileSettings(file, "-config")
		f.add(settings)
		return f, err
	}
	if dir := env("SPOOLGORE_DIR"); dir != "" {
		f.Dir, f.Origin = dir, "SPOOLGORE_DIR"
	}
	f.StatusFile = env("SPOOLGORE_JSON")
	if file := env("SPOOLGORE_CONFIG"); file != "" {
		settings, err := FileSettings(file, "SPOOLGORE_CONFIG")
		f.add(settings)
		if err != nil || f.Dir != "" {
			return f, err
		}
	}
	for _, path := range foundFiles(env) {
		settings, err := spoolSettings(path)
		if err != nil && !isUnreadable(err) {
			return f, err
		}
		f.add(f.without(settings))
	}
	_, usual := conf.Places()
	if fi, err := os.Stat(usual); f.Dir == "" && err == nil && fi.IsDir() {
		f.Dir, f.Origin = usual, "the default"
	}
	return f, nil
}

// without returns settings of a file without those for the spool of the file, if f has another spool.
func (f *Found) without(settings []Setting) []Setting {
	for _, s := range settings {
		if s.Key != "dir" || f.Dir == "" || filepath.Clean(s.Value) == filepath.Clean(f.Dir) {
			continue
		}
		return slices.DeleteFunc(slices.Clone(settings), func(s Setting) bool {
			return s.Key == "json" || s.Key == "temporary"
		})
	}
	return settings
}

// add takes settings that f does not have yet.
func (f *Found) add(settings []Setting) {
	for _, s := range settings {
		switch {
		case s.Key == "dir" && f.Dir == "":
			f.Dir, f.Origin = s.Value, s.Origin
		case s.Key == "json" && f.StatusFile == "":
			f.StatusFile = s.Value
		case s.Key == "temporary" && f.Temporary == "":
			f.Temporary = s.Value
		case s.Key == "domain" && f.domain == "":
			f.domain = s.Value
		case s.Key == "aliases" && f.aliases == "":
			f.aliases = s.Value
		}
	}
}

// AliasFile returns the path of the alias file, /etc/aliases by default; empty: there is none.
func (f *Found) AliasFile() string {
	usual := InEtc("aliases")
	switch {
	case f.aliases == "none":
		return ""
	case f.aliases != "":
		return f.aliases
	}
	if _, err := os.Stat(usual); err != nil {
		return ""
	}
	return usual
}

// MailDomain returns the domain of addresses without a domain, as sendmail-spool has it.
func (f *Found) MailDomain() string { return cmp.Or(f.domain, DefaultDomain()) }

// DefaultDomain returns the domain of addresses without a domain if none is configured: that in /etc/mailname, or the
// name of the host.
func DefaultDomain() string {
	mailname, _ := os.ReadFile(InEtc("mailname"))
	host, _ := os.Hostname()
	return firstDomain(strings.TrimSpace(string(mailname)), host, "localhost")
}

// firstDomain returns the first of the names that is a domain.
func firstDomain(names ...string) string {
	for _, name := range names {
		if message.CheckAddress("a@"+name) == nil {
			return name
		}
	}
	return ""
}

// foundFiles returns the paths of the user's and the system's configuration.
func foundFiles(env func(string) string) (paths []string) {
	dir := env("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(homeDirectory(), ".config")
	}
	if filepath.IsAbs(dir) {
		paths = append(paths, filepath.Join(dir, "spoolgore.conf"))
	}
	return append(paths, SystemFile())
}

// spoolSettings returns the settings of the file at path that commands use. Errors in other lines are left to the
// daemon.
func spoolSettings(path string) (settings []Setting, err error) {
	lines, err := conf.Read(path)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		if !slices.Contains([]string{"dir", "json", "temporary", "domain", "aliases"}, l.Key) {
			continue
		}
		at := fmt.Sprintf("%s:%d", path, l.Line)
		value, err := fileValue(path, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", at, l.Key, err)
		}
		settings = append(settings, Setting{l.Key, value, InFile, at})
	}
	return settings, nil
}

func isUnreadable(err error) bool { return isMissing(err) || errors.Is(err, fs.ErrPermission) }

// isMissing reports whether there is no file. The home directory of some system users is /dev/null.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// findFile sets c.File to the user's or the system's configuration, whichever names a relay first. It sets none if
// flags or the environment name a relay: the credentials of a file are for its own relays. The error is that of an
// unreadable file, which may name a relay.
func (c *Config) findFile(env func(string) string) error {
	if c.From["smtpaddr"].Rank != 0 || c.From["relays"].Rank != 0 {
		return nil
	}
	for _, path := range foundFiles(env) {
		lines, err := conf.Read(path)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("this configuration may name the relay: %w; or name the relay with -smtpaddr", err)
		}
		for _, l := range lines {
			if l.Key == "smtpaddr" || l.Key == "relays" {
				c.File, c.From["config"] = path, Setting{"config", path, InFile, "found"}
				return nil
			}
		}
	}
	return nil
}
