//go:build unix

package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/conf"
)

// configured writes a file for -config and returns its path.
func configured(t *testing.T, lines ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "spoolgore.conf")
	is.New(t).NoErr(os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}

// environ returns a lookup function for the given variables, each as NAME=value.
func environ(variables ...string) func(string) string {
	return func(name string) string {
		for _, v := range variables {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// TestPrecedence sets every key in the file, then in the environment, then on the command line.
func TestPrecedence(t *testing.T) {
	values := map[string][3]string{ // in the file, in the environment, on the command line
		"smtpaddr": {"a:1", "b:2", "c:3"}, "relays": {"/a", "/b", "/c"}, "smtptimeout": {"1", "2", "3"}, "localname": {"a", "b", "c"},
		"concurrency": {"1", "2", "3"}, "rate": {"1/s", "2/s", "3/s"}, "nopipelining": {"yes", "no", "true"},
		"nochunking": {"", "false", "true"}, "window": {"1", "2", "3"}, "smtpuser": {"a", "b", "c"},
		"smtppasswordfile": {"/a", "/b", "/c"}, "smtpauth": {"PLAIN", "LOGIN", "CRAM-MD5"}, "smtptls": {"tls", "starttls", "auto"},
		"smtpca": {"/a", "/b", "/c"}, "smtppin": {pinOfNothing, pinOfNothing, pinOfNothing}, "smtptlsname": {"a", "b", "c"}, "freq": {"1", "2", "3"},
		"settle": {"1", "2", "3"}, "temporary": {"*.a", "*.b *~", "*.c"},
		"attempts": {"1", "2", "3"}, "maxage": {"1h", "2h", "3h"}, "maxrecipients": {"1", "2", "3"}, "bounce": {"no", "yes", "false"}, "warnafter": {"1h", "2h", "3h"}, "pickupdots": {"yes", "no", "true"},
		"onfail": {"a", "b", "c"}, "json": {"/a", "/b", "/c"}, "once": {"yes", "no", "true"}, "logjson": {"yes", "no", "true"},
		"http": {"1", "2", "3"}, "httptokenfile": {"/a", "/b", "/c"}, "httptoken": {"a", "b", "c"},
		"recipients": {"1", "2", "3"}, "reportfrom": {"a@x", "b@x", "c@x"}, "noquotas": {"yes", "no", "true"},
		"smtpidle": {"1s", "2s", "3s"}, "ip4": {"yes", "no", "true"}, "ip6": {"yes", "no", "true"},
		"sender": {"a@x", "b@x", "c@x"}, "from": {"a@x", "b@x", "c@x"}, "senders": {"/a", "/b", "/c"},
		"redirect": {"a@x", "b@x", "c@x"}, "allow": {"@x", "@x,a@y", "*"}, "bcc": {"a@x", "@y a@x,b@x", "c@x"},
		"postmaster": {"a@x", "b@x", "c@x"},
		"smtpsource": {"127.0.0.1", "::1", "127.0.0.2"}, "smtpproxy": {"socks5://a:1", "http://b:2", "https://c"},
		"smtptlsmin": {"1.0", "1.2", "1.3"}, "retry": {"1m", "2m,3m*2", "1h"},
		"listen": {"1", "2", "3"}, "listenuser": {"/a", "/b", "/c"},
		"on": {"failed=a", "relay-up=b", "oldest=2h=c"}, "keepfailed": {"30d", "1h", "2h"},
		"trace": {"1", "0", "3"}, "shortaddresses": {"yes", "no", "true"},
		"verbose": {"yes", "no", "true"}, "dir": {"/a", "/b", ""},
	}
	user := []string{"-smtpuser", "u"} // for keys that need a user
	for key, v := range values {
		t.Run(key, func(t *testing.T) {
			is := is.New(t)
			file := configured(t, "# first", key+" "+v[0], "domain example.com")
			args, dir := []string{"-config", file}, []string{"/spool"}
			if key == "dir" {
				dir = nil
			}
			if strings.HasPrefix(key, "smtppassword") || key == "smtpauth" {
				args = append(args, user...)
			}
			if strings.HasPrefix(key, "listenuser") {
				args = append(args, "-listen", "1")
			}
			if strings.HasPrefix(key, "httptoken") {
				args = append(args, "-http", "1")
			}
			if key == "smtpauth" || key == "smtpuser" {
				args = append(args, "-smtppasswordcmd", "x")
			}
			c, err := Parse(append(args, dir...), noEnv)
			is.NoErr(err)
			is.Equal(c.From[key], Setting{key, v[0], InFile, file + ":2"}) // from the file, if it is not set elsewhere
			env := environ(variable(key) + "=" + v[1])
			c, err = Parse(append(args, dir...), env)
			is.NoErr(err)
			// the environment goes before the file
			is.Equal(c.From[key], Setting{key, v[1], InEnvironment, variable(key)})
			if key == "dir" {
				is.Equal(c.Dir, "/b")
				return
			}
			c, err = Parse(append(append(args, "-"+key+"="+v[2]), dir...), env)
			is.NoErr(err)
			is.Equal(c.From[key].Origin, "-"+key) // and the command line before both
		})
	}
	for _, k := range conf.Keys {
		if _, ok := values[k.Name]; !ok && k.Of&conf.Daemon != 0 && !strings.Contains(" smtppasswordcmd smtppassword smtpoauth smtpmd5password smtpmd5user smtptoken smtpcert smtpkey listencert listenkey ", " "+k.Name+" ") {
			t.Errorf("%s is not tested", k.Name)
		}
	}
}

func TestValuesReachTheOptions(t *testing.T) {
	is := is.New(t)
	file := configured(t, "dir /var/spool/x", "smtpaddr mail.example.com:587", "smtpuser app", "smtppasswordfile secrets/app",
		"smtpca /ca.pem", "freq 500ms", "verbose", "bounce no", "userfiles 10", "aliases /etc/aliases")
	c, err := Parse([]string{"-freq", "7"}, environ("SPOOLGORE_CONFIG="+file, "SPOOLGORE_ATTEMPTS=3", "SPOOLGORE_RATE="))
	is.NoErr(err)
	is.Equal(c.Dir, "/var/spool/x")
	is.Equal(c.Opts.SMTPAddr, "mail.example.com:587")
	is.Equal(c.Relay.User, "app")
	// relative to the directory of the file
	is.Equal(c.Relay.PasswordFile, filepath.Join(filepath.Dir(file), "secrets/app"))
	is.Equal(c.Relay.CA, "/ca.pem")
	is.Equal(c.Opts.Freq, 7*time.Second)
	is.Equal(c.Opts.Attempts, 3)
	is.Equal(len(c.Opts.Rate), 0) // an empty variable sets nothing
	is.True(c.Verbose)            // a switch without a value is on
	is.True(c.Opts.NoReports)     // bounce no sets NoReports
	c, err = Parse([]string{"-config", file, "/elsewhere"}, environ("SPOOLGORE_DIR=/b"))
	is.NoErr(err)
	is.Equal(c.Dir, "/elsewhere") // the operand goes before the file
	c, err = Parse(nil, environ("SPOOLGORE_DIR=/b"))
	is.NoErr(err)
	is.Equal(c.Dir, "/b") // a container needs no file
}

// TestOnePasswordIsTheRightOne tests the ways to give a password. Only the password of the highest level is used.
func TestOnePasswordIsTheRightOne(t *testing.T) {
	credentials := t.TempDir()
	is.New(t).NoErr(os.WriteFile(filepath.Join(credentials, "smtppassword"), []byte("x\n"), 0o600))
	systemd := "CREDENTIALS_DIRECTORY=" + credentials
	for name, c := range map[string]struct {
		file, env, args []string
		want            relaySettings
	}{
		"file": {[]string{"smtpuser u", "smtppassword f"}, []string{systemd}, nil, relaySettings{User: "u", Password: "f"}},
		"environment": {[]string{"smtpuser u", "smtppasswordfile /f"}, []string{systemd, "SPOOLGORE_SMTPPASSWORD=e"}, nil,
			relaySettings{User: "u", Password: "e"}},
		"environment, by a command": {[]string{"smtpuser u", "smtppassword f"}, []string{"SPOOLGORE_SMTPPASSWORDCMD=e"}, nil,
			relaySettings{User: "u", PasswordCmd: "e"}},
		"flag": {[]string{"smtpuser u", "smtppassword f"}, []string{"SPOOLGORE_SMTPPASSWORD=e"}, []string{"-smtppasswordfile", "/a"},
			relaySettings{User: "u", PasswordFile: "/a"}},
		"systemd": {[]string{"smtpuser u"}, []string{systemd}, nil, relaySettings{User: "u", PasswordFile: filepath.Join(credentials, "smtppassword")}},
		"CRAM-MD5": {[]string{"smtpmd5user m", "smtpmd5password f"}, []string{"SPOOLGORE_SMTPPASSWORD=e", "SPOOLGORE_SMTPMD5PASSWORD=md5"}, nil,
			relaySettings{User: "m", Password: "md5", Auth: "CRAM-MD5"}},
		"another user": {[]string{"smtpuser u", "smtppassword f"}, nil, []string{"-smtpmd5user", "m", "-smtpmd5password", "a"},
			relaySettings{User: "m", Password: "a", Auth: "CRAM-MD5"}},
		"user of the environment": {[]string{"smtpuser u"}, []string{"SPOOLGORE_SMTPUSER=e", "SPOOLGORE_SMTPPASSWORD=p"}, nil,
			relaySettings{User: "e", Password: "p"}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			got, err := Parse(append(append([]string{"-config", configured(t, c.file...)}, c.args...), "dir"), environ(c.env...))
			is.NoErr(err)
			is.Equal(got.Relay, c.want)
		})
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		file, env []string
		say       string // FILE stands for the name of the file
	}{
		"unknown key":         {[]string{"# x", "smtpadr mail:25"}, nil, `FILE: line 2: unknown key "smtpadr": is it smtpaddr?`},
		"a key of no file":    {[]string{"printconfig"}, nil, `FILE: line 1: unknown key "printconfig"`},
		"another file":        {[]string{"config /x"}, nil, `FILE: line 1: unknown key "config"`},
		"no time":             {[]string{"freq often"}, nil, "FILE:1: freq: want a time"},
		"overruled":           {[]string{"freq often"}, []string{"SPOOLGORE_FREQ=1"}, "FILE:1: freq: want a time"},
		"no number":           {nil, []string{"SPOOLGORE_ATTEMPTS=many"}, "SPOOLGORE_ATTEMPTS: attempts: want a number"},
		"many recipients":     {[]string{"maxrecipients 25001"}, nil, "FILE:1: maxrecipients: want a number from 1 to 25000"},
		"no value":            {[]string{"smtpaddr"}, nil, "FILE:1: smtpaddr: there is no value"},
		"no switch":           {[]string{"bounce never"}, nil, `FILE:1: bounce: "never": want yes or no`},
		"token":               {[]string{"smtptoken se-cret"}, nil, "FILE:1: smtptoken: want yes or no: the token is the password"},
		"token in a variable": {nil, []string{"SPOOLGORE_SMTPTOKEN=se-cret"}, "SPOOLGORE_SMTPTOKEN: smtptoken: want yes or no"},
		"no blanks":           {[]string{"smtppassword=se-cret"}, nil, "FILE: line 1: blanks go between smtppassword and its value"},
		"no relay":            {nil, []string{"SPOOLGORE_SMTPADDR=mail"}, `SPOOLGORE_SMTPADDR: smtpaddr: relay "mail": it is not host:port`},
		"no mode":             {[]string{"smtptls ssl"}, nil, "FILE:1: smtptls: smtptls is none of auto"},
		"no mechanism":        {[]string{"smtpauth NTLM"}, nil, "FILE:1: smtpauth: smtpauth is none of"},
		"no pin":              {[]string{"smtppin x"}, nil, "FILE:1: smtppin: smtppin"},
		"twice":               {[]string{"freq 1", "verbose", "freq 2"}, nil, "FILE:3: freq is set twice, first in line 1: remove one"},
		"no directory":        {[]string{"dir"}, nil, "FILE:1: dir: there is no value"},
		"relative directory":  {[]string{"dir spool"}, nil, `FILE:1: dir: "spool" is not an absolute path`},
		"relative status":     {[]string{"json x.js"}, nil, `FILE:1: json: "x.js" is not an absolute path`},
		"two passwords":       {[]string{"smtpuser u", "smtppassword se-cret", "smtppasswordfile /f"}, nil, "-smtppassword and -smtppasswordfile: only one of them can be the password (smtpuser is from FILE:1, smtppasswordfile is from FILE:3, smtppassword is from FILE:2)"},
		"in two variables":    {[]string{"smtpuser u"}, []string{"SPOOLGORE_SMTPPASSWORD=se-cret", "SPOOLGORE_SMTPPASSWORDFILE=/f"}, "-smtppassword and -smtppasswordfile: only one"},
		"no password":         {[]string{"smtpuser u"}, nil, "-smtpuser without a password: it comes from -smtppasswordfile, -smtppasswordcmd or SPOOLGORE_SMTPPASSWORD (smtpuser is from FILE:1)"},
		"a user and password": {nil, []string{"SPOOLGORE_SMTPADDR=u:se-cret@mail:25"}, `SPOOLGORE_SMTPADDR: smtpaddr: a relay's address cannot hold an "@"`},
		"no text":             {[]string{"a\x00b"}, nil, "-config: FILE: line 1: this is no text"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			file := configured(t, c.file...)
			_, err := Parse([]string{"-config", file, "dir"}, environ(c.env...))
			// a configuration error
			is.True(errors.As(err, new(*Error)))
			// the error has the mistake and its place
			is.True(strings.HasPrefix(strings.ReplaceAll(err.Error(), file, "FILE"), c.say))
			// and no secret
			is.True(!strings.Contains(err.Error(), "se-cret") && !strings.Contains(err.Error(), "\x00"))
			is.Equal(strings.Count(err.Error(), "\n"), 0) // one line
		})
	}
}

func TestAConfigurationThatCannotBeRead(t *testing.T) {
	is := is.New(t)
	_, err := Parse([]string{"-config", "/nowhere/spoolgore.conf", "dir"}, noEnv)
	is.True(errors.Is(err, os.ErrNotExist))
	is.Equal(err.Error(), "-config: open /nowhere/spoolgore.conf: no such file or directory")
	_, err = Parse([]string{"-config", "", "dir"}, noEnv)
	is.Equal(err.Error(), "the name of the file is empty: -config") // as with an unset variable in a script
	_, err = Parse([]string{"-config", configured(t, "domain example.com")}, noEnv)
	is.True(strings.HasPrefix(err.Error(), "which directory is the spool?"))
}

func TestDirOfTheUser(t *testing.T) {
	is := is.New(t)
	c, err := Parse([]string{"-config", configured(t, "dir %h/spool/%u")}, noEnv)
	is.NoErr(err)
	is.Equal(c.Dir, filepath.Join(homeDirectory(), "spool", loginName()))
}

func TestPrintConfig(t *testing.T) {
	is := is.New(t)
	file := configured(t, "dir /var/spool/x", "httptoken 0123456789se-cret", "smtpuser app", "onfail curl https://hook/se-cret",
		"localname a\x1b[31mb", "maxsize 1M", "verbose")
	t.Setenv("SPOOLGORE_SMTPPASSWORD", "se-cret")
	t.Setenv("SPOOLGORE_ATTEMPTS", "3")
	t.Setenv("SPOOLGORE_SMTPADR", "x")
	t.Setenv("SPOOLGORE_DIR", "")
	c, err := Parse([]string{"-config", file, "-smtpaddr", "u:se-cret,se-cret@a:25,b:25", "-printconfig"}, os.Getenv)
	is.NoErr(err)
	var stdout bytes.Buffer
	Print(&stdout, &c)
	text := strings.ReplaceAll(stdout.String(), file, "FILE")
	is.True(!strings.Contains(text, "se-cret")) // no secret
	is.True(!strings.Contains(text, "\x1b"))    // no escape sequences for the terminal
	for _, line := range []string{
		"config           FILE (-config)",
		"dir              /var/spool/x (FILE:1)",
		"smtppassword     set, not shown (SPOOLGORE_SMTPPASSWORD)",
		"httptoken        set, not shown (FILE:2)",
		"onfail           set, not shown (FILE:4)",
		"smtpuser         app (FILE:3)",
		`localname        "a\x1b[31mb" (FILE:5)`,
		"maxsize          1M (FILE:6, for sendmail-spool)",
		"attempts         3 (SPOOLGORE_ATTEMPTS)",
		"smtpaddr         ***@a:25,b:25 (-smtpaddr)",
		"freq             10 (default)",
		"verbose          true (FILE:7)",
		"relays           - (default)",
		"unknown variable SPOOLGORE_SMTPADR: is it SPOOLGORE_SMTPADDR?",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	for _, k := range conf.Keys {
		if k.Of&conf.Daemon != 0 && !strings.Contains("\n"+text, "\n"+k.Name+" ") {
			t.Errorf("%s is not shown", k.Name)
		}
	}
	is.True(!strings.Contains(text, "aliases")) // keys of sendmail-spool are not printed
}

func TestUnknownVariables(t *testing.T) {
	is := is.New(t)
	is.Equal(UnknownVariables([]string{"SPOOLGORE_FREQ=1", "SPOOLGORE_PORT=tcp://10.0.0.1:25", "SPOOLGORE_MESSAGE_ID=x", "SPOOLGORE_ATEMPTS=1", "HOME=/"}),
		[][2]string{{"SPOOLGORE_ATEMPTS", "SPOOLGORE_ATTEMPTS"}}) // variables with other prefixes are ignored
}

// An editor on Windows may write a byte order mark before the first line.
func TestSendersFileWithAByteOrderMark(t *testing.T) {
	is := is.New(t)
	path := filepath.Join(t.TempDir(), "senders")
	is.NoErr(os.WriteFile(path, []byte("\uFEFF@a.lan b@example.com\r\n"), 0o600))
	pairs, err := readSenders(path)
	is.NoErr(err)
	is.Equal(pairs, []spoolgore.AddressPair{{Pattern: "@a.lan", Address: "b@example.com"}})
}
