package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

const note = "From: a@x.org\nTo: b@x.org\nSubject: x\n\nhello\n"

func TestExplainCommand(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "note.eml")
	if err := os.WriteFile(path, []byte(note), 0o600); err != nil {
		t.Fatal(err)
	}
	good := (&smtptest.Relay{}).Listen(t)
	refusing := (&smtptest.Relay{Reply: func(verb, _ string) string { return map[string]string{"RCPT": "550 5.1.1 no"}[verb] }}).Listen(t)
	busy := (&smtptest.Relay{Reply: func(verb, _ string) string { return map[string]string{"RCPT": "450 4.7.1 no"}[verb] }}).Listen(t)
	for name, c := range map[string]struct {
		args  []string
		stdin string
		code  int
		out   string // text in the output
		err   string // text in the errors; empty: no error
	}{
		"file":           {[]string{path}, "", 0, path + ": it would be sent to 1 recipient\n", ""},
		"relay":          {[]string{"-smtpaddr", "mail.example.com:587", path}, "", 0, "relay       mail.example.com:587", ""},
		"input":          {[]string{"-"}, note, 0, "standard input: it would be sent", ""},
		"no message":     {[]string{"-"}, "hello\n", 65, "it would stay where it is", ""},
		"no address":     {[]string{"-"}, "From: a@x.org\nTo: b@x.org, c\n\n", 65, "bad         c", ""},
		"probe":          {[]string{"-probe", "-smtpaddr", good, path}, "", 0, "accepted    b@x.org", ""},
		"probe of input": {[]string{"-probe", "-smtpaddr", good, "-"}, note, 0, "accepted    b@x.org", ""},
		"flags behind":   {[]string{path, "-probe", "-smtpaddr", good}, "", 0, "accepted    b@x.org", ""},
		"unknown behind": {[]string{path, "-prob"}, "", 64, "", "-prob"},
		"refused":        {[]string{"-probe", "-smtpaddr", refusing, path}, "", 69, "refused     b@x.org", ""},
		"put off":        {[]string{"-probe", "-smtpaddr", busy, path}, "", 75, "deferred    b@x.org", ""},
		"no such file":   {[]string{path + "x"}, "", 66, "", "no such file"},
		"no such relays": {[]string{"-relays", path + "x", path}, "", 78, "", "-relays"},
		"no relay":       {[]string{"-smtpaddr", "nowhere", path}, "", 78, "", "host:port"},
		"nothing":        {nil, "", 64, "", "want one file"},
		"two files":      {[]string{path, path}, "", 64, "", "want one file"},
		"unknown flag":   {[]string{"-prob", path}, "", 64, "", "-prob"},
		"help":           {[]string{"-help"}, "", 0, "usage: spoolgore explain", ""},
		"version":        {[]string{"-version"}, "", 0, "spoolgore ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			code, out, errs := outputOf(c.stdin, append([]string{"explain"}, c.args...)...)
			is.Equal(code, c.code)
			is.True(strings.Contains(out, c.out))
			is.True(strings.Contains(errs, c.err))
			is.Equal(errs == "", c.err == "") // no other errors
		})
	}
}

// A message from standard input leaves no file.
func TestExplainKeepsNothing(t *testing.T) {
	is := is.New(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	code, out, _ := outputOf(note, "explain", "-")
	is.Equal(code, 0)
	is.True(!strings.Contains(out, "not yet")) // the input has ended, although its file is new
	left, err := os.ReadDir(tmp)
	is.NoErr(err)
	is.Equal(len(left), 0)
}
