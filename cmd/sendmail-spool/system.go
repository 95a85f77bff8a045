//go:build unix

package main

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// system is what the command sees of the host and of who calls it. Tests have one of their own.
type system struct {
	etc      string // directory of spoolgore.conf and mailname
	spool    string // used where nothing else is configured, if it is there
	hostname func() (string, error)
	uid      int
	elevated bool      // the command has a group that its caller has not: nothing that the caller controls may lead it
	held     privilege // dropped, if elevated
	env      func(string) string
	passwd   func() *user.User // of the caller; nil: there is no entry
}

// host is the system we run on, for a command with the dropped privilege held.
func host(held privilege) system {
	uid := os.Getuid()
	sys := system{
		etc: "/etc", spool: "/var/spool/spoolgore", hostname: os.Hostname, uid: uid, env: os.Getenv,
		elevated: held.held, held: held,
		passwd: sync.OnceValue(func() *user.User {
			u, err := user.LookupId(strconv.Itoa(uid))
			if err != nil {
				return nil
			}
			return u
		}),
	}
	if sys.elevated {
		sys.env = func(string) string { return "" }
	}
	return sys
}

// login is the name of the caller: that of the user id, as cron, sudo and others set $USER to something else.
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

// fullName is that of the caller; empty: it is not known.
func (sys system) fullName() string {
	if name := sys.env("NAME"); name != "" {
		return name
	}
	u := sys.passwd()
	if u == nil {
		return ""
	}
	name, _, _ := strings.Cut(u.Name, ",") // behind it there are an office and telephones
	if login := u.Username; login != "" {
		name = strings.ReplaceAll(name, "&", strings.ToUpper(login[:1])+login[1:])
	}
	return name
}

// home is the caller's home directory. $HOME is asked last: sudo, cron and procmail set it to what they like.
func (sys system) home() string {
	if u := sys.passwd(); u != nil && filepath.IsAbs(u.HomeDir) {
		return u.HomeDir
	}
	return sys.env("HOME")
}

// userConfig is the path of the caller's own configuration; empty: there can be none.
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
