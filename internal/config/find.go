package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/unbit/spoolgore/internal/conf"
)

// Default paths of the configuration and of the spool.
const (
	SystemFile   = "/etc/spoolgore.conf"
	defaultSpool = "/var/spool/spoolgore"
)

// Found is the result of FindSpool.
type Found struct {
	Dir        string // empty: no spool is configured
	StatusFile string // empty: the usual place
	Origin     string // of Dir, as "SPOOLGORE_DIR" or "/etc/spoolgore.conf:3"

	Temporary string // patterns of temporary names, with spaces between; empty: the default patterns
}

// IsIn reports whether the spool is the directory dir.
func (f *Found) IsIn(dir fs.FileInfo) bool {
	fi, err := os.Stat(f.Dir)
	return err == nil && os.SameFile(fi, dir)
}

// FindSpool returns the spool of a command. It is the spool of file, if file is not empty. Otherwise each setting is
// taken from the first place that has it, as sendmail-spool does: SPOOLGORE_DIR, the file of SPOOLGORE_CONFIG or else
// the user's and the system's configuration, and /var/spool/spoolgore. The user's and the system's file are ignored if
// they cannot be read.
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
		return f, err
	}
	for _, path := range foundFiles(env) {
		settings, err := spoolSettings(path)
		if err != nil && !isUnreadable(err) {
			return f, err
		}
		f.add(settings)
	}
	if fi, err := os.Stat(defaultSpool); f.Dir == "" && err == nil && fi.IsDir() {
		f.Dir, f.Origin = defaultSpool, "the default"
	}
	return f, nil
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
		}
	}
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
	return append(paths, SystemFile)
}

// spoolSettings returns dir, json and temporary of the file at path. Mistakes in other lines are the daemon's business.
func spoolSettings(path string) (settings []Setting, err error) {
	lines, err := conf.Read(path)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		if l.Key != "dir" && l.Key != "json" && l.Key != "temporary" {
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

func isUnreadable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
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
		if errors.Is(err, fs.ErrNotExist) {
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
