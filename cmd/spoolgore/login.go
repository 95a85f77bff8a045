package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// loginFlags are the flags that say who logs in, and how.
func loginFlags(fs *flag.FlagSet, c *config) {
	fs.StringVar(&c.relay.User, "smtpuser", "", "")
	fs.StringVar(&c.relay.Password, "smtppassword", "", "")
	fs.StringVar(&c.relay.PasswordFile, "smtppasswordfile", "", "")
	fs.StringVar(&c.relay.PasswordCmd, "smtppasswordcmd", "", "")
	fs.StringVar(&c.relay.Auth, "smtpauth", "", "")
	fs.BoolVar(&c.relay.Token, "smtptoken", false, "")
	fs.StringVar(&c.md5User, "smtpmd5user", "", "")
	fs.StringVar(&c.md5Password, "smtpmd5password", "", "")
}

// login settles who logs in, and with which password: that of a flag, else of the environment, else of systemd.
func (c *config) login(env func(string) string) error {
	user, variable := "-smtpuser", "SPOOLGORE_SMTPPASSWORD"
	switch {
	case c.relay.Password != "":
		c.visible = "-smtppassword"
	case c.md5Password != "":
		c.visible = "-smtpmd5password"
	}
	if c.md5User == "" && c.md5Password != "" {
		return errors.New("-smtpmd5password without -smtpmd5user")
	}
	if c.md5User != "" && c.relay.User == "" {
		user, variable = "-smtpmd5user", "SPOOLGORE_SMTPMD5PASSWORD"
		if err := c.loginMD5(); err != nil {
			return err
		}
	}
	s := &c.relay
	if !s.NeedsPassword() || s.HasPassword() {
		return nil
	}
	if s.Password = env(variable); s.Password == "" {
		s.PasswordFile = credential(env("CREDENTIALS_DIRECTORY"), "smtppassword")
	}
	if !s.HasPassword() {
		return fmt.Errorf("%s without a password: it comes from -smtppasswordfile, -smtppasswordcmd or %s", user, variable)
	}
	return nil
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

// credential is the file of that name among those that systemd has put in dir; empty: there is none.
func credential(dir, name string) string {
	if dir == "" {
		return ""
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return path
}
