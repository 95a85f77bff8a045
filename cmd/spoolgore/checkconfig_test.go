//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestCheckConfig(t *testing.T) {
	dir := t.TempDir()
	relays := filepath.Join(dir, "relays")
	must(t, os.WriteFile(relays, []byte("@x.org nowhere\n"), 0o600))
	none, short := filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "short")
	must(t, os.WriteFile(short, []byte("guess me\n"), 0o600))
	for name, c := range map[string]struct {
		args []string
		code int
		say  string
	}{
		"good":           {[]string{dir}, 0, "the configuration is valid"},
		"no directory":   {[]string{filepath.Join(dir, "none")}, 78, "no such file"},
		"a file":         {[]string{relays}, 78, "is not a directory"},
		"relays file":    {[]string{"-relays", relays, dir}, 78, "relays:1"},
		"certificates":   {[]string{"-smtpca", filepath.Join(dir, "ca"), dir}, 78, "-smtpca"},
		"relay":          {[]string{"-smtpaddr", "nowhere", dir}, 78, "host:port"},
		"a URL":          {[]string{"-smtpaddr", "http://mail.example.com", dir}, 78, "write HOST:PORT, or an address that begins with smtp://"},
		"no port":        {[]string{"-smtpaddr", "mail.example.com:x", dir}, 78, "write a number, such as mail.example.com:587"},
		"listen":         {[]string{"-listen", "0.0.0.0:2525", dir}, 78, "set -listenuser, -listencert and -listenkey"},
		"listen nowhere": {[]string{"-listen", "abc", dir}, 78, "such as 127.0.0.1:2525"},
		"listen, loop":   {[]string{"-listen", "2525", "-smtpaddr", "127.0.0.1:2525", dir}, 78, "round in circles"},
		"listen, users":  {[]string{"-listen", "2525", "-listenuser", none, dir}, 78, "-listenuser: "},
		"listen, TLS": {
			[]string{"-listen", "2525", "-listencert", none, "-listenkey", none, dir}, 78, "-listencert: ",
		},
		"local name":     {[]string{"-localname", "web 1", dir}, 78, `-localname: the local name "web 1" is no host name`},
		"report from":    {[]string{"-config", configured(t, "reportfrom app@"), dir}, 78, `:1: reportfrom: "app@": want an address`},
		"http":           {[]string{"-http", "abc", dir}, 78, "-http: "},
		"http, open":     {[]string{"-http", "0.0.0.0:8025", dir}, 78, "a token is needed"},
		"http, token":    {[]string{"-http", "8025", "-httptokenfile", none, dir}, 78, "-httptokenfile: "},
		"http, short":    {[]string{"-http", "8025", "-httptokenfile", short, dir}, 78, "the token is too short"},
		"http, good":     {[]string{"-http", "8025", "-httptoken", "0123456789abcdef", dir}, 0, "is valid"},
		"unknown key":    {[]string{"-config", configured(t, "smtpadr a:25"), dir}, 78, "is it smtpaddr?"},
		"contradictions": {[]string{"-bounce=false", "-warnafter", "4h", dir}, 0, "settings contradict each other"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			code, stdout, stderr := command("", append([]string{"-checkconfig"}, c.args...)...)
			is.Equal(code, c.code)
			is.True(strings.Contains(stdout+stderr, c.say))
		})
	}
	is := is.New(t)
	files, err := os.ReadDir(dir)
	is.NoErr(err)
	is.Equal(len(files), 1) // no file was made in the spool
}
