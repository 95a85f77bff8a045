package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/unbit/spoolgore/internal/credential"
)

// loginFlags are the flags that say who logs in, and how.
func loginFlags(fs *flag.FlagSet, c *config) {
	fs.StringVar(&c.relay.User, "smtpuser", "", "")
	fs.StringVar(&c.relay.Password, "smtppassword", "", "")
	fs.StringVar(&c.relay.PasswordFile, "smtppasswordfile", "", "")
	fs.StringVar(&c.relay.PasswordCmd, "smtppasswordcmd", "", "")
	fs.StringVar(&c.relay.Auth, "smtpauth", "", "")
	fs.Var((*tokenSwitch)(c), "smtptoken", "")
	fs.StringVar(&c.md5User, "smtpmd5user", "", "")
	fs.StringVar(&c.md5Password, "smtpmd5password", "", "")
}

// tokenSwitch is the flag -smtptoken. Package flag would show the value that it cannot use, which may be the token: so there
// is no such value here, and configure says what is wrong.
type tokenSwitch config

func (t *tokenSwitch) String() string { return strconv.FormatBool(t.relay.Token) }

// IsBoolFlag says that it stands without a value.
func (t *tokenSwitch) IsBoolFlag() bool { return true }

// Set implements flag.Value.
func (t *tokenSwitch) Set(text string) (err error) {
	t.relay.Token, err = strconv.ParseBool(text)
	t.badToken = err != nil
	return nil
}

// login settles who logs in, and with which password: that of a flag, else of the environment, else of the file of -config,
// else of systemd.
func (c *config) login(env func(string) string) error {
	user, key := "-smtpuser", "smtppassword"
	if c.md5User == "" && c.md5Password != "" {
		return errors.New("-smtpmd5password without -smtpmd5user")
	}
	md5 := c.md5User != "" && c.relay.User == ""
	if md5 {
		user, key = "-smtpmd5user", "smtpmd5password"
	}
	if md5 || c.relay.NeedsPassword() {
		c.passwordOf(env(variable(key)), key)
	}
	if md5 {
		if err := c.loginMD5(); err != nil {
			return err
		}
	}
	s := &c.relay
	if !s.NeedsPassword() || s.HasPassword() {
		return nil
	}
	if s.PasswordFile = systemdCredential(env("CREDENTIALS_DIRECTORY"), "smtppassword"); s.PasswordFile != "" {
		c.from["smtppasswordfile"] = setting{"smtppasswordfile", s.PasswordFile, inEnvironment, "CREDENTIALS_DIRECTORY"}
		return nil
	}
	return fmt.Errorf("%s without a password: it comes from -smtppasswordfile, -smtppasswordcmd or %s", user, variable(key))
}

// passwordOf takes the password that stands in the environment variable for key, if there is one: it counts less than those
// of flags, and more than those of a file.
func (c *config) passwordOf(password, key string) {
	if password == "" {
		return
	}
	for _, rival := range rivalsOf(key) {
		switch c.from[rival].rank {
		case onCommandLine:
			return
		case inFile:
			delete(c.from, rival)
			*c.passwordField(rival) = ""
		}
	}
	*c.passwordField(key), c.from[key] = password, setting{key, password, inEnvironment, variable(key)}
}

// passwordField is where the value for one of the keys of passwords is kept.
func (c *config) passwordField(key string) *string {
	return map[string]*string{
		"smtppassword": &c.relay.Password, "smtppasswordfile": &c.relay.PasswordFile, "smtppasswordcmd": &c.relay.PasswordCmd,
		"smtpmd5password": &c.md5Password,
	}[key]
}

// visible is the flag that shows a password to every user of the host; empty: none does.
func (c *config) visible() string {
	for _, key := range []string{"smtppassword", "smtpmd5password", "httptoken"} {
		if c.from[key].rank == onCommandLine {
			return "-" + key
		}
	}
	return ""
}

// exposed reports whether every user of the host may read a password in the file of -config.
func (c *config) exposed() bool {
	if c.from["smtppassword"].rank != inFile && c.from["smtpmd5password"].rank != inFile && c.from["httptoken"].rank != inFile {
		return false
	}
	info, err := os.Stat(c.file)
	return err == nil && credential.Exposed(info)
}

// loginMD5 makes what the flags for CRAM-MD5 say the settings of the relay.
func (c *config) loginMD5() error {
	s := &c.relay
	switch mech := s.Mechanism(); {
	case s.Password != "":
		return errors.New("-smtppassword without -smtpuser")
	case mech != "" && mech != "CRAM-MD5":
		return errors.New("-smtpmd5user logs in with CRAM-MD5, -smtpauth names another mechanism")
	case c.md5Password != "" && s.HasPassword():
		return errors.New("-smtpmd5password and -smtppasswordfile or -smtppasswordcmd: only one of them can be the password")
	}
	s.User, s.Password, s.Auth = c.md5User, c.md5Password, "CRAM-MD5"
	return nil
}

// systemdCredential is the file of that name among those that systemd has put in dir; empty: there is none.
func systemdCredential(dir, name string) string {
	if dir == "" {
		return ""
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return path
}
