package conf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestParse(t *testing.T) {
	is := is.New(t)
	got, err := Parse(strings.NewReader("# a comment\n\n  dir\t /var/spool/a b \r\nsmtppassword a #b # c\nonce\n\t# indented\nlast x"))
	is.NoErr(err)
	is.Equal(got, []Setting{
		{"dir", "/var/spool/a b", 3},
		{"smtppassword", "a #b # c", 4},
		{"once", "", 5},
		{"last", "x", 7},
	})
	got, err = Parse(strings.NewReader("\uFEFFdir /a\r\n"))
	is.NoErr(err)
	is.Equal(got, []Setting{{"dir", "/a", 1}}) // the byte order mark of an editor on Windows is no part of the key
	_, err = Parse(strings.NewReader("a b\nc\x00d\n"))
	is.Equal(err.Error(), "line 2: this is no text")
	_, err = Parse(strings.NewReader(strings.Repeat("a b\n", 1<<19)))
	is.True(err != nil) // a line without an end is no configuration
}

func TestRead(t *testing.T) {
	is := is.New(t)
	path := filepath.Join(t.TempDir(), "c")
	_, err := Read(path)
	is.True(errors.Is(err, fs.ErrNotExist))
	is.NoErr(os.WriteFile(path, []byte("a b\n\x00"), 0o600))
	_, err = Read(path)
	is.Equal(err.Error(), path+": line 2: this is no text")
}

func TestUnknownKeys(t *testing.T) {
	known := []string{"dir", "domain", "aliases", "smtpaddr", "smtpca", "freq", "mailhubs"}
	for key, want := range map[string]string{
		"dir":       "",
		"smtpadr":   `line 1: unknown key "smtpadr": is it smtpaddr?`,
		"-smtpaddr": `line 1: unknown key "-smtpaddr": is it smtpaddr?`,
		"SMTPAddr":  `line 1: unknown key "SMTPAddr": is it smtpaddr?`,
		"smtpaddr:": `line 1: unknown key "smtpaddr:": is it smtpaddr?`,
		"alias":     `line 1: unknown key "alias"`,
		"alaises":   `line 1: unknown key "alaises": is it aliases?`,
		"dri":       `line 1: unknown key "dri": is it dir?`,
		"di":        `line 1: unknown key "di": is it dir?`,
		"relayhost": `line 1: unknown key "relayhost"; the key here is smtpaddr, such as mail.example.com:587`,
		"mailhub":   `line 1: unknown key "mailhub"; the key here is smtpaddr, such as mail.example.com:587`,
		"authuser":  `line 1: unknown key "authuser"; the key here is smtpuser`,
		"password":  `line 1: unknown key "password"; the key here is smtppasswordfile`,

		// An error does not show the value.
		"smtpaddr=s3cret": `line 1: blanks go between smtpaddr and its value`,
		"dir = s3cret":    `line 1: there is no = between dir and its value`,
		"smtpaddr =":      `line 1: there is no = between smtpaddr and its value`,
		"dir:s3cret":      `line 1: blanks go between dir and its value`,
		"smtpadr=s3cret":  `line 1: unknown key "smtpadr": is it smtpaddr?`,
		"relay=s3cret":    `line 1: unknown key "relay"`,
		"=s3cret":         `line 1: unknown key ""`,
		"freq=":           `line 1: unknown key "freq=": is it freq?`,
	} {
		t.Run(key, func(t *testing.T) {
			is := is.New(t)
			settings, err := Parse(strings.NewReader(key + " x"))
			is.NoErr(err)
			err = Check(settings, known)
			if want == "" {
				is.NoErr(err)
				return
			}
			is.True(err != nil)
			is.Equal(err.Error(), want)
		})
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "ca", 2}, {"ca", "", 2}, {"user", "user", 0}, {"usr", "user", 1}, {"usser", "user", 1}, {"uzer", "user", 1},
		{"usre", "user", 1}, {"passwordfile", "passwordcmd", 4}, {"pin", "key", 3},
	} {
		t.Run(c.a+" "+c.b, func(t *testing.T) {
			is := is.New(t)
			is.Equal(distance(c.a, c.b), c.want) // number of changes
			is.Equal(distance(c.b, c.a), c.want) // the same in the other order
		})
	}
}
