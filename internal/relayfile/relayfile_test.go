package relayfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

const pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []Route
	}{
		"nothing":         {"", nil},
		"only comments":   {"# SENDER RELAYS\n\n   \n\t# more\r\n", nil},
		"no end of line":  {"* a:25", []Route{{Line: 1, Sender: "*", Relays: "a:25"}}},
		"CRLF":            {"* a:25\r\n@x b:25\r\n", []Route{{Line: 1, Sender: "*", Relays: "a:25"}, {Line: 2, Sender: "@x", Relays: "b:25"}}},
		"byte order mark": {"\uFEFF@x b:25", []Route{{Line: 1, Sender: "@x", Relays: "b:25"}}},
		"lines counted":   {"\n# x\n\n@x a:25\n", []Route{{Line: 4, Sender: "@x", Relays: "a:25"}}},
		"tabs, comment":   {" \tann@x\t\ta:25,smtps://b tls=tls # for Ann\n", []Route{{Line: 1, Sender: "ann@x", Relays: "a:25,smtps://b", Settings: Settings{TLS: "tls"}}}},
		"quoted sender":   {`"ann lee"@x a:25`, []Route{{Line: 1, Sender: `"ann lee"@x`, Relays: "a:25"}}},
		"socket with =":   {"* lmtp+unix:///run/a=b", []Route{{Line: 1, Sender: "*", Relays: "lmtp+unix:///run/a=b"}}},
		"subdomain apart": {"@x.y a:1\n@y a:2\nb@y a:3", []Route{{Line: 1, Sender: "@x.y", Relays: "a:1"}, {Line: 2, Sender: "@y", Relays: "a:2"}, {Line: 3, Sender: "b@y", Relays: "a:3"}}},
		"recipients":      {"to:@corp.example lmtp://a:24\nTo:b@x b:25", []Route{{Line: 1, Sender: "to:@corp.example", Relays: "lmtp://a:24"}, {Line: 2, Sender: "To:b@x", Relays: "b:25"}}},
		"every setting": {
			"* a:25 user=u passwordfile=/p auth=plain tls=starttls ca=/c cert=/d key=/k pin=" + pin,
			[]Route{{1, "*", "a:25", Settings{User: "u", PasswordFile: "/p", Auth: "plain", TLS: "starttls", CA: "/c", Cert: "/d", Key: "/k", Pin: pin}}},
		},
		"relative files":      {"* a:25 user=u passwordfile=p ca=../c cert=d key=k", []Route{{1, "*", "a:25", Settings{User: "u", PasswordFile: "/etc/mail/p", CA: "/etc/c", Cert: "/etc/mail/d", Key: "/etc/mail/k"}}}},
		"token":               {"* a:25 user=u password=t token=yes", []Route{{1, "*", "a:25", Settings{User: "u", Password: "t", Token: true}}}},
		"no token":            {"* a:25 user=u password=t token=no", []Route{{1, "*", "a:25", Settings{User: "u", Password: "t"}}}},
		"no password needed":  {"* a:25 user=u auth=External", []Route{{1, "*", "a:25", Settings{User: "u", Auth: "External"}}}},
		"command in quotes":   {`* a:25 user=u passwordcmd="printf 'a\n' \"$X\" \\ # no comment" tls=tls`, []Route{{1, "*", "a:25", Settings{User: "u", PasswordCmd: `printf 'a\n' "$X" \ # no comment`, TLS: "tls"}}}},
		"password with signs": {`* a:25 user=u password=a"b#c=d\"e`, []Route{{1, "*", "a:25", Settings{User: "u", Password: `a"b#c=d\"e`}}}},
		"password = quote":    {`* a:25 user=u password="\""`, []Route{{1, "*", "a:25", Settings{User: "u", Password: `"`}}}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			got, err := Parse("/etc/mail/relays", c.text)
			is.NoErr(err)
			is.Equal(got, c.want) // the routes
		})
	}
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, say string }{
		"no relays":              {"*", "relays:1: want SENDER RELAYS [key=value ...], there are no relays"},
		"line is counted":        {"# x\n\n* a:25\n@x", "relays:4: "},
		"settings for relays":    {"* user=kratos password=se-cret", "relays:1: want SENDER RELAYS [key=value ...], there is a setting where the relays should be"},
		"sender is a name":       {"ann a:25", `relays:1: the sender is not an address, "@" and a domain, or "*"`},
		"sender without domain":  {"ann@ a:25", "relays:1: the sender is not an address"},
		"sender is @":            {"@ a:25", "relays:1: the sender is not an address"},
		"sender with wildcard":   {"*@example.com a:25", `relays:1: a sender with "*" is "*" alone`},
		"two signs":              {"* b:25\na@@x a:25", "relays:2: the sender is not an address: "},
		"another word":           {"from:@x a:25", "relays:1: the sender is not an address: "},
		"port behind a sender":   {"@x:25 a:25", `relays:1: the sender has no domain behind the "@"`},
		"recipient is a name":    {"to:bob a:25", `relays:1: behind "to:" there is no address`},
		"all recipients":         {"to:* a:25", `relays:1: behind "to:" there is no address`},
		"recipient, two signs":   {"to:a@@x a:25", "relays:1: the recipient is not an address: "},
		"two senders":            {"ann@x,bob@x a:25", "relays:1: the sender is not one address"},
		"sender in brackets":     {"<ann@x> a:25", "relays:1: the sender is not one address"},
		"sender twice":           {"ann@x a:25\n# \nAnn@X b:25", "relays:3: the sender has a line already, line 1"},
		"default twice":          {"* a:25\n* b:25", "relays:2: the sender has a line already, line 1"},
		"letter missing":         {"* a:25 user=u passwrdfile=se-cret", "relays:1: setting 2: unknown key passwrdfile, is it passwordfile?"},
		"letters swapped":        {"* a:25 usre=u", "relays:1: setting 1: unknown key usre, is it user?"},
		"upper case":             {"* a:25 User=u", "relays:1: setting 1: unknown key User, is it user?"},
		"as the flag":            {"* a:25 -smtppasswordcmd=se-cret", "relays:1: setting 1: unknown key -smtppasswordcmd, is it passwordcmd?"},
		"nothing like a key":     {"* a:25 user=u password=two se-cret=s", "relays:1: setting 3: unknown key; there are user, password, "},
		"endless key":            {"* a:25 " + strings.Repeat("x", 100000) + "=s", "relays:1: setting 1: unknown key; there are "},
		"no key":                 {"* a:25 user=u password=two se-cret", "relays:1: setting 3: it is not key=value; a value with spaces goes in double quotes"},
		"key twice":              {"* a:25 tls=tls tls=none", "relays:1: setting 2: tls is there twice"},
		"token twice":            {"* a:25 token=yes token=no", "relays:1: setting 2: token is there twice"},
		"empty value":            {"* a:25 user=", "relays:1: setting 1: user is empty"},
		"empty in quotes":        {`* a:25 user=""`, "relays:1: setting 1: user is empty"},
		"quote not closed":       {`* a:25 user=u password="se-cret`, "relays:1: a quote is not closed"},
		"quote escaped":          {`* a:25 user=u password="se-cret\"`, "relays:1: a quote is not closed"},
		"something behind":       {`* a:25 user=u password="se-"cret`, "relays:1: setting 2: password: text follows the closing quote"},
		"control character":      {"* a:25 user=u password=se-cret\x01", "relays:1: there is a control character in the line"},
		"token maybe":            {"* a:25 token=1", "relays:1: setting 1: token is neither yes nor no"},
		"user without password":  {"* a:25 user=u", "relays:1: user without password, passwordfile, passwordcmd or oauth"},
		"the settings are wrong": {"* a:25 password=se-cret", "relays:1: password without user"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			got, err := Parse("relays", c.text)
			is.True(err != nil) // refused
			is.Equal(got, nil)  // no route at all
			if !strings.HasPrefix(err.Error(), c.say) {
				t.Errorf("got  %v\nwant %s", err, c.say)
			}
			is.True(!strings.Contains(err.Error(), "cret")) // no password is shown
			is.True(len(err.Error()) < 300)                 // the error is short
		})
	}
}

func TestRead(t *testing.T) {
	const with, without = "* a:25 user=u password=se-cret\n", "* a:25 user=u passwordfile=p\n"
	for name, c := range map[string]struct {
		text    string
		mode    fs.FileMode
		exposed bool
	}{
		"password, private":       {with, 0o600, false},
		"password, for the group": {with, 0o640, false},
		"password, public":        {with, 0o644, true},
		"no password, public":     {without, 0o644, false},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			path := filepath.Join(t.TempDir(), "relays")
			is.NoErr(os.WriteFile(path, []byte(c.text), 0o600))
			is.NoErr(os.Chmod(path, c.mode))
			routes, exposed, err := Read(path)
			is.NoErr(err)
			is.Equal(len(routes), 1)     // one route
			is.Equal(exposed, c.exposed) // whether others can read the password
		})
	}
}

func TestReadErrors(t *testing.T) {
	is := is.New(t)
	path := filepath.Join(t.TempDir(), "relays")
	_, _, err := Read(path)
	is.True(errors.Is(err, fs.ErrNotExist))      // the file does not exist
	is.True(strings.Contains(err.Error(), path)) // the error names it
	is.NoErr(os.WriteFile(path, []byte("* a:25\n?\n"), 0o600))
	_, _, err = Read(path)
	is.True(err != nil && strings.HasPrefix(err.Error(), path+":2: ")) // file and line
	is.NoErr(os.WriteFile(path, []byte(strings.Repeat("#\n", maxSize)), 0o600))
	_, _, err = Read(path)
	is.True(err != nil && strings.Contains(err.Error(), path+" is larger than")) // the file is too large
}

// FuzzParse checks that
//   - Parse returns routes or an error that names file and line, and no secret longer than a key;
//   - every route has a sender, that no other one has, relays, and settings that Check finds right;
//   - a route written as a line is read as the same route.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "# x\n* a:25\n", "ann@x a:25,b:26 user=u password=\"a \\\" b\" tls=tls\r\n@x c:25\n", `* a user=u passwordcmd="printf 'a\n'"`,
		`"a b"@x y auth=external cert=/c key=/k pin=` + pin, "* a:25 token=yes", "* a:25 usre=x", `* a user=u passwordfile="a b" # c`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		is := is.New(t)
		routes, err := Parse("/etc/relays", text)
		if err != nil {
			is.Equal(routes, nil)                                   // no route of a bad file
			is.True(strings.HasPrefix(err.Error(), "/etc/relays:")) // the error names the file
			return
		}
		senders := make(map[string]bool)
		for _, r := range routes {
			is.True(!senders[strings.ToLower(r.Sender)]) // one line for a sender
			senders[strings.ToLower(r.Sender)] = true
			is.True(r.Sender != "" && r.Relays != "") // sender and relays are set
			is.NoErr(r.Settings.Check(""))            // the settings are right
			again, err := Parse("/etc/relays", line(r))
			is.NoErr(err) // the line of a route can be parsed
			r.Line = 1
			is.Equal(again, []Route{r}) // to the same route
		}
	})
}

// line returns a route as a line of the file.
func line(r Route) string {
	s := r.Settings
	text := r.Sender + " " + r.Relays
	for _, p := range [][2]string{
		{"user", s.User}, {"password", s.Password}, {"passwordfile", s.PasswordFile}, {"passwordcmd", s.PasswordCmd}, {"auth", s.Auth},
		{"tls", s.TLS}, {"ca", s.CA}, {"cert", s.Cert}, {"key", s.Key}, {"pin", s.Pin}, {"tlsname", s.TLSName},
	} {
		if p[1] != "" {
			text += " " + p[0] + `="` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(p[1]) + `"`
		}
	}
	if s.Token {
		text += " token=yes"
	}
	return text
}
