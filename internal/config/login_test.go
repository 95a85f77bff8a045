//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/relayfile"
)

func TestLogin(t *testing.T) {
	credentials := t.TempDir()
	given := filepath.Join(credentials, "smtppassword")
	if err := os.WriteFile(given, []byte("systemd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SPOOLGORE_SMTPPASSWORD": "env", "SPOOLGORE_SMTPMD5PASSWORD": "md5env"}
	systemd := map[string]string{"CREDENTIALS_DIRECTORY": credentials}
	all := map[string]string{"SPOOLGORE_SMTPPASSWORD": "env", "SPOOLGORE_SMTPMD5PASSWORD": "md5env", "CREDENTIALS_DIRECTORY": credentials}
	for name, c := range map[string]struct {
		args    string
		env     map[string]string
		want    relayfile.Settings
		visible string
	}{
		"nobody":                {"", all, relayfile.Settings{}, ""},
		"flag":                  {"-smtpuser u -smtppassword p", all, relayfile.Settings{User: "u", Password: "p"}, "-smtppassword"},
		"file":                  {"-smtpuser u -smtppasswordfile f", all, relayfile.Settings{User: "u", PasswordFile: "f"}, ""},
		"command":               {"-smtpuser u -smtppasswordcmd c", all, relayfile.Settings{User: "u", PasswordCmd: "c"}, ""},
		"environment":           {"-smtpuser u", all, relayfile.Settings{User: "u", Password: "env"}, ""},
		"systemd":               {"-smtpuser u", systemd, relayfile.Settings{User: "u", PasswordFile: given}, ""},
		"token":                 {"-smtpuser u -smtptoken", env, relayfile.Settings{User: "u", Password: "env", Token: true}, ""},
		"EXTERNAL":              {"-smtpuser u -smtpauth EXTERNAL", all, relayfile.Settings{User: "u", Auth: "EXTERNAL"}, ""},
		"MD5":                   {"-smtpmd5user m -smtpmd5password p", all, relayfile.Settings{User: "m", Password: "p", Auth: "CRAM-MD5"}, "-smtpmd5password"},
		"MD5, file":             {"-smtpmd5user m -smtppasswordfile f", all, relayfile.Settings{User: "m", PasswordFile: "f", Auth: "CRAM-MD5"}, ""},
		"MD5, environment":      {"-smtpmd5user m", env, relayfile.Settings{User: "m", Password: "md5env", Auth: "CRAM-MD5"}, ""},
		"MD5, systemd":          {"-smtpmd5user m", systemd, relayfile.Settings{User: "m", PasswordFile: given, Auth: "CRAM-MD5"}, ""},
		"MD5, said twice":       {"-smtpmd5user m -smtpauth cram-md5", env, relayfile.Settings{User: "m", Password: "md5env", Auth: "CRAM-MD5"}, ""},
		"both: the first":       {"-smtpuser u -smtppassword p -smtpmd5user m -smtpmd5password q", nil, relayfile.Settings{User: "u", Password: "p"}, "-smtppassword"},
		"both, first by file":   {"-smtpuser u -smtppasswordfile f -smtpmd5user m -smtpmd5password q", nil, relayfile.Settings{User: "u", PasswordFile: "f"}, "-smtpmd5password"},
		"nothing for md5 alone": {"-smtpuser u", env, relayfile.Settings{User: "u", Password: "env"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			got, err := Parse(append(strings.Fields(c.args), "dir"), func(name string) string { return c.env[name] })
			is.NoErr(err)
			is.Equal(got.Relay, c.want)        // the login
			is.Equal(got.visible(), c.visible) // the flag that other users can see
		})
	}
}

func TestLoginErrors(t *testing.T) {
	blank := t.TempDir()
	if err := os.WriteFile(filepath.Join(blank, "smtppassword"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args string
		env  map[string]string
		say  string
	}{
		"no password":           {"-smtpuser u", nil, "-smtpuser without a password: it comes from -smtppasswordfile, -smtppasswordcmd or SPOOLGORE_SMTPPASSWORD"},
		"variable of the other": {"-smtpuser u", map[string]string{"SPOOLGORE_SMTPMD5PASSWORD": "se-cret"}, "-smtpuser without a password"},
		"empty directory":       {"-smtpuser u", map[string]string{"CREDENTIALS_DIRECTORY": t.TempDir()}, "-smtpuser without a password"},
		"blank credential":      {"-smtpuser u", map[string]string{"CREDENTIALS_DIRECTORY": blank}, "-smtpuser without a password"},
		"MD5: no password":      {"-smtpmd5user m", nil, "-smtpmd5user without a password: it comes from -smtppasswordfile, -smtppasswordcmd or SPOOLGORE_SMTPMD5PASSWORD"},
		"MD5: two passwords":    {"-smtpmd5user m -smtpmd5password se-cret -smtppasswordcmd se-cret", nil, "-smtpmd5password and -smtppasswordfile or -smtppasswordcmd"},
		"MD5: other password":   {"-smtpmd5user m -smtppassword se-cret", nil, "-smtppassword without -smtpuser"},
		"MD5: other mechanism":  {"-smtpmd5user m -smtpmd5password se-cret -smtpauth PLAIN", nil, "-smtpmd5user logs in with CRAM-MD5"},
		"MD5: token":            {"-smtpmd5user m -smtpmd5password se-cret -smtptoken", nil, "-smtptoken goes with"},
		"token without user":    {"-smtptoken", nil, "-smtptoken without -smtpuser"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			_, err := Parse(append(strings.Fields(c.args), "dir"), func(name string) string { return c.env[name] })
			is.True(err != nil)                                // refused
			is.True(strings.HasPrefix(err.Error(), c.say))     // with the reason
			is.True(!strings.Contains(err.Error(), "se-cret")) // without a secret
		})
	}
}

// A command of root finds the credentials of the daemon with the same configuration and the same relay.
func TestDirectoryOfThePassword(t *testing.T) {
	const system, shop = "/etc/spoolgore.conf", "/etc/spoolgore/shop.conf"
	for name, c := range map[string]struct {
		file, variable string
		relay          Setting
		want, origin   string
	}{
		"of the host":           {system, "", Setting{}, "/etc/spoolgore/credentials", "/etc/spoolgore/credentials"},
		"relay of the file":     {system, "", Setting{Value: "a:25", Rank: InFile}, "/etc/spoolgore/credentials", "/etc/spoolgore/credentials"},
		"of one application":    {shop, "", Setting{}, "/etc/spoolgore/credentials/shop", "/etc/spoolgore/credentials/shop"},
		"systemd":               {system, "/run/x", Setting{Value: "b:25", Rank: OnCommandLine}, "/run/x", "CREDENTIALS_DIRECTORY"},
		"another relay":         {system, "", Setting{Value: "b:25", Rank: OnCommandLine}, "", ""},
		"another relay, by env": {shop, "", Setting{Value: "b:25", Rank: InEnvironment}, "", ""},
		"another file":          {"/home/ann/.config/spoolgore.conf", "", Setting{}, "", ""},
		"no file":               {"", "", Setting{}, "", ""},
		"no configuration":      {"/etc/spoolgore/shop", "", Setting{}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			config := &Config{File: c.file, fileRelay: "a:25", From: map[string]Setting{"smtpaddr": c.relay}}
			dir, origin := passwordDirectory(config, func(string) string { return c.variable })
			is.Equal(dir, c.want)
			is.Equal(origin, c.origin)
		})
	}
}

// A password in a configuration file is sent only to a relay of the same file.
func TestPasswordOfAFileNeedsTheRelayOfTheFile(t *testing.T) {
	login := []string{"smtpuser u", "smtppassword secret7"}
	for name, tt := range map[string]struct {
		lines []string
		args  []string
		env   []string
		ok    bool
	}{
		"all in the file":                {append(login, "smtpaddr a:25"), nil, nil, true},
		"the default relay":              {login, nil, nil, true},
		"another relay by flag":          {append(login, "smtpaddr a:25"), []string{"-smtpaddr", "b:25"}, nil, false},
		"another relay by environment":   {append(login, "smtpaddr a:25"), nil, []string{"SPOOLGORE_SMTPADDR=b:25"}, false},
		"the same relay by flag":         {append(login, "smtpaddr a:25"), []string{"-smtpaddr", "a:25"}, nil, true},
		"a relay by flag, none in file":  {login, []string{"-smtpaddr", "b:25"}, nil, false},
		"password file":                  {[]string{"smtpuser u", "smtppasswordfile p"}, []string{"-smtpaddr", "b:25"}, nil, false},
		"password command":               {[]string{"smtpuser u", "smtppasswordcmd p"}, []string{"-smtpaddr", "b:25"}, nil, false},
		"OAuth":                          {[]string{"smtpuser u", "smtpoauth p"}, []string{"-smtpaddr", "b:25"}, nil, false},
		"CRAM-MD5":                       {[]string{"smtpmd5user u", "smtpmd5password p"}, []string{"-smtpaddr", "b:25"}, nil, false},
		"password from the environment":  {append(login, "smtpaddr a:25"), []string{"-smtpaddr", "b:25"}, []string{"SPOOLGORE_SMTPPASSWORD=x"}, true},
		"password on the command line":   {append(login, "smtpaddr a:25"), []string{"-smtpaddr", "b:25", "-smtppassword", "x"}, nil, true},
		"only the user is from the file": {[]string{"smtpuser u"}, []string{"-smtpaddr", "b:25", "-smtppasswordcmd", "x"}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			args := append([]string{"-config", configured(t, tt.lines...)}, tt.args...)
			_, err := Parse(append(args, "/spool"), environ(tt.env...))
			is.Equal(err == nil, tt.ok)
			if err != nil {
				is.True(strings.Contains(err.Error(), "relay of the file")) // the reason
				is.True(!strings.Contains(err.Error(), "secret7"))          // without the password
			}
		})
	}
}
