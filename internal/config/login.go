package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/unbit/spoolgore/internal/credential"
	"github.com/unbit/spoolgore/internal/fsys"
)

func loginFlags(fs *FlagSet, c *Config) {
	fs.Heading("Login")
	fs.AddString(&c.Relay.User, "smtpuser", "USER",
		"log in with the strongest mechanism that the relay offers, over verified TLS or to this host only")
	fs.AddString(&c.md5User, "smtpmd5user", "USER", "log in with CRAM-MD5; ignored with -smtpuser")
	fs.AddString(&c.Relay.Auth, "smtpauth", "MECHANISM",
		"the only mechanism to use: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN, "+
			"CRAM-MD5, XOAUTH2, OAUTHBEARER, EXTERNAL")
	fs.Add((*tokenSwitch)(c), "smtptoken", "", "the password is an OAuth 2.0 access token")
	fs.Note("The password is one of these:")
	fs.AddString(&c.Relay.PasswordFile, "smtppasswordfile", "FILE", "a file with one line, read for each login")
	fs.AddString(&c.Relay.PasswordCmd, "smtppasswordcmd", "COMMAND",
		"the first line that /bin/sh -c COMMAND prints within 30 seconds; "+
			"it runs again if the relay refused the last password; its standard error goes to the log")
	fs.AddString(&c.Relay.OAuth, "smtpoauth", "FILE",
		"a file of OAuth 2.0 settings, for which \"spoolgore login\" gets a refresh token")
	fs.AddString(&c.Relay.Password, "smtppassword", "PASSWORD", "for -smtpuser; every user of this host can see it")
	fs.AddString(&c.md5Password, "smtpmd5password", "PASSWORD", "for -smtpmd5user; every user of this host can see it")
	fs.Term("SPOOLGORE_SMTPPASSWORD", "in the environment, for -smtpuser; SPOOLGORE_SMTPMD5PASSWORD for -smtpmd5user")
	fs.Term("$CREDENTIALS_DIRECTORY", "a directory that systemd makes (LoadCredential=); its file smtppassword. "+
		"Without it, and with /etc/spoolgore.conf, the file in /etc/spoolgore/credentials")
}

// tokenSwitch is the flag -smtptoken. It accepts any value, because package flag shows a wrong value, which may be the
// token. configure reports the error.
type tokenSwitch Config

func (t *tokenSwitch) String() string { return strconv.FormatBool(t.Relay.Token) }

// IsBoolFlag marks a flag without a value.
func (t *tokenSwitch) IsBoolFlag() bool { return true }

// Set implements flag.Value.
func (t *tokenSwitch) Set(text string) (err error) {
	t.Relay.Token, err = strconv.ParseBool(text)
	t.badToken = err != nil
	return nil
}

// login sets user and password. The password is that of a flag, else of the environment, of the file of -config, or of
// systemd.
func (c *Config) login(env func(string) string) error {
	user, key := "-smtpuser", "smtppassword"
	if c.md5User == "" && c.md5Password != "" {
		return errors.New("-smtpmd5password without -smtpmd5user")
	}
	md5 := c.md5User != "" && c.Relay.User == ""
	if md5 {
		user, key = "-smtpmd5user", "smtpmd5password"
	}
	if md5 || c.Relay.NeedsPassword() {
		c.passwordOf(env(variable(key)), key)
	}
	if md5 {
		if err := c.loginMD5(); err != nil {
			return err
		}
	}
	s := &c.Relay
	if !s.NeedsPassword() || s.HasPassword() {
		return checkFileLogin(c)
	}
	dir, origin := passwordDirectory(c, env)
	if s.PasswordFile = credentialIn(dir, origin, "smtppassword"); s.PasswordFile != "" {
		c.From["smtppasswordfile"] = Setting{"smtppasswordfile", s.PasswordFile, InEnvironment, origin}
		return nil
	}
	also := ""
	if unit := credentialsOf(c.File); unit != "" {
		also = ", and for root from " + filepath.Join(unit, "smtppassword")
	}
	return fmt.Errorf("%s without a password: it comes from -smtppasswordfile, -smtppasswordcmd or %s%s", user,
		variable(key), also)
}

// checkFileLogin returns an error for a password of the file of -config with a relay from elsewhere, to which the
// password would be sent.
func checkFileLogin(c *Config) error {
	relay := c.From["smtpaddr"]
	if hasOwnRelay(c) {
		return nil
	}
	for _, key := range rivalsOf("smtppassword") {
		if s := c.From[key]; s.Rank == InFile && *c.passwordField(key) != "" {
			return fmt.Errorf("%s is from %s, but the relay is from %s: a password of a file is used only with a "+
				"relay of the file; give relay and password in one place", key, s.Origin, relay.Origin)
		}
	}
	return nil
}

// hasOwnRelay reports whether the relay is that of the file of -config.
func hasOwnRelay(c *Config) bool {
	relay := c.From["smtpaddr"]
	return relay.Rank <= InFile || relay.Value == c.fileRelay
}

// passwordOf takes the password of the environment variable for key. It overrides a password of a file, but none of a
// flag.
func (c *Config) passwordOf(password, key string) {
	if password == "" {
		return
	}
	for _, rival := range rivalsOf(key) {
		switch c.From[rival].Rank {
		case OnCommandLine:
			return
		case InFile:
			delete(c.From, rival)
			*c.passwordField(rival) = ""
		}
	}
	*c.passwordField(key), c.From[key] = password, Setting{key, password, InEnvironment, variable(key)}
}

// passwordField returns the field for one of the password keys.
func (c *Config) passwordField(key string) *string {
	return map[string]*string{
		"smtppassword": &c.Relay.Password, "smtppasswordfile": &c.Relay.PasswordFile,
		"smtppasswordcmd": &c.Relay.PasswordCmd, "smtpmd5password": &c.md5Password,
		"smtpoauth": &c.Relay.OAuth,
	}[key]
}

// visible returns the flag whose password every user of the host can see; empty: none.
func (c *Config) visible() string {
	for _, key := range []string{"smtppassword", "smtpmd5password", "httptoken"} {
		if c.From[key].Rank == OnCommandLine {
			return "-" + key
		}
	}
	if c.From["smtpproxy"].Rank == OnCommandLine && strings.Contains(c.dial.Proxy, "@") {
		return "-smtpproxy"
	}
	return ""
}

// exposed reports whether every user of the host may read a password in the file of -config.
func (c *Config) exposed() bool {
	if c.From["smtppassword"].Rank != InFile && c.From["smtpmd5password"].Rank != InFile &&
		c.From["httptoken"].Rank != InFile &&
		(c.From["smtpproxy"].Rank != InFile || !strings.Contains(c.dial.Proxy, "@")) {
		return false
	}
	info, err := os.Stat(c.File)
	return err == nil && credential.Exposed(info)
}

// loginMD5 makes the flags for CRAM-MD5 the settings of the relay.
func (c *Config) loginMD5() error {
	s := &c.Relay
	switch mech := s.Mechanism(); {
	case s.Password != "":
		return errors.New("-smtppassword without -smtpuser")
	case mech != "" && mech != "CRAM-MD5":
		return errors.New("-smtpmd5user logs in with CRAM-MD5, -smtpauth names another mechanism")
	case c.md5Password != "" && s.HasPassword():
		return errors.New("-smtpmd5password and -smtppasswordfile or -smtppasswordcmd: only one of them can be the " +
			"password")
	}
	s.User, s.Password, s.Auth = c.md5User, c.md5Password, "CRAM-MD5"
	return nil
}

// webToken checks the tokens for -http and takes the token of systemd if there is no other.
func (c *Config) webToken(env func(string) string) error {
	switch {
	case c.HTTP == "" && (c.From["httptoken"].Rank == OnCommandLine || c.From["httptokenfile"].Rank == OnCommandLine):
		return errors.New("-httptoken and -httptokenfile are for -http, which is missing")
	case c.HTTPToken != "" && c.HTTPTokenFile != "":
		return errors.New("-httptoken and -httptokenfile: only one of them can be the token")
	case c.HTTP == "", c.HTTPToken+c.HTTPTokenFile != "":
		return nil
	}
	dir, origin := credentials(c, env)
	if c.HTTPTokenFile = credentialIn(dir, origin, "httptoken"); c.HTTPTokenFile != "" {
		c.From["httptokenfile"] = Setting{"httptokenfile", c.HTTPTokenFile, InEnvironment, origin}
	}
	return nil
}

// credentialsVariable is the environment variable with the directory in which systemd puts credentials.
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// credentials returns the directory with the credentials of c, and the origin of that directory: systemd or, for a
// command of root, the directory from which the units of the package take the credentials. Empty: there is none.
func credentials(c *Config, env func(string) string) (dir, origin string) {
	if dir := env(credentialsVariable); dir != "" {
		return dir, credentialsVariable
	}
	dir = credentialsOf(c.File)
	return dir, dir
}

// passwordDirectory returns the directory of credentials with the password, and its origin. The password of a unit goes
// only to the relay of the configuration of the unit.
func passwordDirectory(c *Config, env func(string) string) (dir, origin string) {
	dir, origin = credentials(c, env)
	if origin != credentialsVariable && !hasOwnRelay(c) {
		return "", ""
	}
	return dir, origin
}

// credentialsOf returns the directory from which the units of the package take the credentials of the daemon with that
// configuration; empty: no unit has that configuration.
func credentialsOf(file string) string {
	all := InEtc(filepath.Join("spoolgore", "credentials"))
	name, found := strings.CutSuffix(filepath.Base(file), ".conf")
	switch {
	case file == SystemFile():
		return all
	case found && filepath.Dir(file) == InEtc("spoolgore"):
		return filepath.Join(all, name)
	}
	return ""
}

// credentialIn returns the path of a credential in dir; empty: there is none. A blank file is none: the units of the
// package give each credential a blank default. Of a directory that is not from systemd, a file that only root can read
// is none, either.
func credentialIn(dir, origin, name string) string {
	if dir == "" {
		return ""
	}
	path := filepath.Join(dir, name)
	text, _, err := fsys.ReadRegular(path, maxCertificates)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && strings.TrimSpace(string(text)) == "",
		errors.Is(err, fs.ErrPermission) && origin != credentialsVariable:
		return ""
	}
	return path
}
