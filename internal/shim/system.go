package shim

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/unbit/spoolgore/internal/conf"
)

// system is the host and the caller, as the command sees them. Tests use another system.
type system struct {
	etc      string // directory of spoolgore.conf and mailname
	spool    string // default spool directory, used if the directory exists
	hostname func() (string, error)
	uid      int       // -1 on Windows
	elevated bool      // the command has a group that the caller lacks: settings of the caller are ignored
	held     privilege // dropped, if elevated
	env      func(string) string
	passwd   func() *user.User // entry of the caller; nil: there is no entry
}

// host returns the system of this host, for a command with the dropped privilege held.
func host(held privilege) system {
	uid := os.Getuid()
	sys := system{
		hostname: os.Hostname, uid: uid, env: os.Getenv, elevated: held.held, held: held,
		passwd: sync.OnceValue(func() *user.User { return caller(uid) }),
	}
	sys.etc, sys.spool = conf.Places()
	if sys.elevated {
		sys.env = func(string) string { return "" }
	}
	return sys
}

// login returns the login name of the caller's user id. $LOGNAME and $USER count only for an id without a name, because
// cron, sudo and others set $USER to another name.
func (sys system) login() string {
	if u := sys.passwd(); u != nil {
		return u.Username
	}
	for _, name := range []string{sys.env("LOGNAME"), sys.env("USER")} {
		if name != "" {
			return name
		}
	}
	return "uid" + strconv.Itoa(sys.uid)
}

// fullName returns the full name of the caller; empty if the name is not known.
func (sys system) fullName() string {
	if name := sys.env("NAME"); name != "" {
		return name
	}
	u := sys.passwd()
	if u == nil {
		return ""
	}
	name, _, _ := strings.Cut(u.Name, ",") // an office and telephone numbers follow
	if login := u.Username; login != "" {
		name = strings.ReplaceAll(name, "&", strings.ToUpper(login[:1])+login[1:])
	}
	return name
}

// home returns the caller's home directory. The user database comes before $HOME, because sudo, cron and procmail may
// change $HOME.
func (sys system) home() string {
	if u := sys.passwd(); u != nil && filepath.IsAbs(u.HomeDir) {
		return u.HomeDir
	}
	return sys.env("HOME")
}

// userConfig returns the path of the caller's own configuration; empty if the caller has no home directory.
func (sys system) userConfig() string {
	dir := sys.env("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		home := sys.home()
		if !filepath.IsAbs(home) {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "spoolgore.conf")
}
