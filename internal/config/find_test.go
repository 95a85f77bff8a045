//go:build unix

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/matryer/is"
)

// userFile writes a configuration file of a user and returns its path and the environment in which it is found.
func userFile(t *testing.T, text string, variables ...string) (env func(string) string, path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "spoolgore.conf")
	is.New(t).NoErr(os.WriteFile(path, []byte(text), 0o600))
	return environ(append(variables, "XDG_CONFIG_HOME="+dir)...), path
}

func TestFindSpool(t *testing.T) {
	is := is.New(t)
	file := configured(t, "dir /of/flag", "json /flag.js")
	env, path := userFile(t, "domain x.org\nno-such-key 1\ndir /of/user\njson /user.js\n")
	for name, c := range map[string]struct {
		file string
		env  func(string) string
		want Found
	}{
		"-config":            {file, environ("SPOOLGORE_DIR=/of/environment"), Found{Dir: "/of/flag", StatusFile: "/flag.js", Origin: file + ":1"}},
		"the environment":    {"", environ("SPOOLGORE_DIR=/e", "SPOOLGORE_JSON=/e.js", "XDG_CONFIG_HOME="+filepath.Dir(path)), Found{Dir: "/e", StatusFile: "/e.js", Origin: "SPOOLGORE_DIR", domain: "x.org"}},
		"the user's file":    {"", env, Found{Dir: "/of/user", StatusFile: "/user.js", Origin: path + ":3", domain: "x.org"}},
		"SPOOLGORE_CONFIG":   {"", environ("SPOOLGORE_CONFIG=" + file), Found{Dir: "/of/flag", StatusFile: "/flag.js", Origin: file + ":1"}},
		"each from another":  {"", environ("SPOOLGORE_DIR=/e", "SPOOLGORE_CONFIG="+file), Found{Dir: "/e", StatusFile: "/flag.js", Origin: "SPOOLGORE_DIR"}},
		"a file without dir": {configured(t, "freq 1"), environ("SPOOLGORE_DIR=/e"), Found{}},
	} {
		got, err := FindSpool(c.file, c.env)
		is.NoErr(err)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	_, err := FindSpool("/nowhere/spoolgore.conf", noEnv)
	is.True(errors.Is(err, fs.ErrNotExist)) // a file given by name must exist
	env, path = userFile(t, "dir spool\n")
	_, err = FindSpool("", env)
	is.Equal(err.Error(), path+`:1: dir: "spool" is not an absolute path`)
}

// A status file belongs to the spool of its file: another spool must not be shown with it. What names no spool is
// completed by the next file.
func TestFindSpoolKeepsFilesApart(t *testing.T) {
	is := is.New(t)
	env, path := userFile(t, "dir /of/user\njson /user.js\ntemporary *.x\ndomain x.org\n")
	home := "XDG_CONFIG_HOME=" + filepath.Dir(path)
	got, err := FindSpool("", environ("SPOOLGORE_DIR=/e", home))
	is.NoErr(err)
	is.Equal(got, Found{Dir: "/e", Origin: "SPOOLGORE_DIR", domain: "x.org"})
	got, err = FindSpool("", environ("SPOOLGORE_DIR=/of/user/", home))
	is.NoErr(err)
	is.Equal(got.StatusFile, "/user.js") // the same directory
	want, err := FindSpool("", env)
	is.NoErr(err)
	got, err = FindSpool("", environ("SPOOLGORE_CONFIG="+configured(t, "freq 1"), home))
	is.NoErr(err)
	is.Equal(got, want) // the next place has the spool
}

// The home directory of some system users is /dev/null.
func TestAHomeDirectoryThatIsNone(t *testing.T) {
	is := is.New(t)
	env := environ("XDG_CONFIG_HOME=/dev/null/.config")
	_, err := FindSpool("", env)
	is.NoErr(err)
	_, _, err = ConfigureAnywhere([]string{"a"}, env, func(*FlagSet) {})
	is.NoErr(err)
}

func TestFoundRelay(t *testing.T) {
	own := func(*FlagSet) {}
	env, path := userFile(t, "domain x.org\nsmtpaddr mail.example.com:587\nsmtpuser app\nsmtppassword se-cret\n")
	for name, c := range map[string]struct {
		args       []string
		env        func(string) string
		addr, user string
	}{
		"found":           {nil, env, "mail.example.com:587", "app"},
		"another setting": {[]string{"-freq", "5"}, env, "mail.example.com:587", "app"},
		// a relay from elsewhere gets no password of the configuration
		"another relay":      {[]string{"-smtpaddr", "other:25"}, env, "other:25", ""},
		"other relays":       {[]string{"-relays", "/r"}, env, "127.0.0.1:25", ""},
		"of the environment": {nil, environ("SPOOLGORE_SMTPADDR=e:25", "XDG_CONFIG_HOME="+filepath.Dir(path)), "e:25", ""},
		"-config":            {[]string{"-config", configured(t, "freq 1")}, env, "127.0.0.1:25", ""},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			got, operands, err := ConfigureAnywhere(append(c.args, "a"), c.env, own)
			is.NoErr(err)
			is.Equal(operands, []string{"a"})
			is.Equal(got.Opts.SMTPAddr, c.addr)
			is.Equal(got.Relay.User, c.user)
		})
	}
	is := is.New(t)
	env, path = userFile(t, "smtpaddr a:25\nsmtpadr b\n")
	_, _, err := ConfigureAnywhere(nil, env, own)
	is.True(err != nil) // the file that names the relay has a mistake
	is.NoErr(os.Remove(path))
	is.NoErr(os.Mkdir(path, 0o700))
	_, _, err = ConfigureAnywhere(nil, env, own)
	is.True(errors.As(err, new(*Error))) // the file cannot be read, and may name the relay
}

// Without the key domain all programs complete addresses with the same domain. What is no domain does not count.
func TestDefaultDomain(t *testing.T) {
	is := is.New(t)
	is.Equal(firstDomain("mail.example", "host", "localhost"), "mail.example")
	is.Equal(firstDomain("", "host.example", "localhost"), "host.example")
	is.Equal(firstDomain("two words", "", "localhost"), "localhost")
	is.True(DefaultDomain() != "")
	is.Equal((&Found{domain: "configured.example"}).MailDomain(), "configured.example")
	is.Equal((&Found{}).MailDomain(), DefaultDomain())
}
