package conf

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestEachKeyIsThereOnce(t *testing.T) {
	is := is.New(t)
	seen := map[string]bool{}
	for _, k := range Keys {
		is.True(!seen[k.Name])                     // each key once
		is.Equal(k.Name, strings.ToLower(k.Name))  // in lower case, like flags
		is.True(k.Of != 0)                         // a program reads the key
		is.True(!k.Secret || k.Default == "")      // a secret has no default
		is.Equal(Nearest(k.Name, Names()), k.Name) // Nearest finds each name
		is.Equal(k, func() Key { k, _ := Find(k.Name); return k }())
		seen[k.Name] = true
	}
	_, ok := Find("relayhost")
	is.True(!ok)
}

func TestExpand(t *testing.T) {
	for dir, c := range map[string]struct{ login, home, want, err string }{
		"/var/spool/x":   {"", "", "/var/spool/x", ""},
		"/var/spool/%u":  {"joe", "", "/var/spool/joe", ""},
		"%h/spool":       {"", "/home/joe", "/home/joe/spool", ""},
		"/a/100%%/%u%u":  {"joe", "", "/a/100%/joejoe", ""},
		"/a/%u/x":        {"", "/h", "", "the name of this user is not known"},
		"/b/%u":          {"..", "/h", "", "the name of this user is not known"},
		"/c/%u":          {"a/b", "/h", "", "the name of this user is not known"},
		"%h/x":           {"joe", "", "", "the home directory of this user is not known"},
		"%h/y":           {"joe", "home", "", "the home directory of this user is not known"},
		"spool":          {"joe", "/h", "", "is not an absolute path"},
		"%u/spool":       {"joe", "/h", "", "is not an absolute path"},
		"/var/spool/%d":  {"joe", "/h", "", "%d is neither %u, %h nor %%"},
		"/var/spool/x%":  {"joe", "/h", "", "a % at the end"},
		"/var/spool/%%u": {"", "", "/var/spool/%u", ""},
	} {
		t.Run(dir, func(t *testing.T) {
			is := is.New(t)
			give := func(text string) func() string { return func() string { return text } }
			got, err := Expand(dir, give(c.login), give(c.home))
			if c.err != "" {
				is.True(err != nil && strings.Contains(err.Error(), c.err)) // the error has the reason
				return
			}
			is.NoErr(err)
			is.Equal(got, c.want)
		})
	}
}

// FuzzParse checks that the settings of any file can be written to a file and read again.
func FuzzParse(f *testing.F) {
	f.Add("dir /a\n# b\n\n smtppassword \t a #b \r\nonce")
	f.Add("a\x00b")
	f.Add("key\u00a0value\n\v\f x\n")
	f.Add("dir =")
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		var again strings.Builder
		last := 0
		for _, s := range settings {
			if s.Line <= last || s.Line > strings.Count(text, "\n")+1 {
				t.Errorf("line %d after line %d", s.Line, last)
			}
			last = s.Line
			if s.Key == "" || s.Key[0] == '#' || strings.ContainsAny(s.Key+s.Value, "\n\x00") || strings.TrimSpace(s.Value) != s.Value {
				t.Errorf("setting %+v", s)
			}
			again.WriteString(s.Key + " " + s.Value + "\n")
			if err := Check([]Setting{s}, Names()); err != nil {
				_, known := Find(s.Key)
				if known && !strings.HasPrefix(s.Value, "=") || strings.ContainsAny(err.Error(), "\n\r\x1b") {
					t.Errorf("check %q: %v", s.Key, err)
				}
			}
		}
		same, err := Parse(strings.NewReader(again.String()))
		if err != nil || len(same) != len(settings) {
			t.Fatalf("%q gives %d settings, %v; written down these are %d", text, len(settings), err, len(same))
		}
		for i := range same {
			if same[i].Key != settings[i].Key || same[i].Value != settings[i].Value {
				t.Errorf("%+v became %+v", settings[i], same[i])
			}
		}
	})
}

// TestTheDocsHaveEveryKey checks the table of docs/configuration.md, and that the manual has an item for every key.
func TestTheDocsHaveEveryKey(t *testing.T) {
	docs := filepath.Join("..", "..", "docs")
	text, err := os.ReadFile(filepath.Join(docs, "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile(filepath.Join(docs, "man", "spoolgore.conf.5"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys {
		if row := "\n| `" + k.Name + "` | " + k.Default + " | "; !strings.Contains(string(text), row) {
			t.Errorf("docs/configuration.md has no row that begins with %q", row)
		}
		if !regexp.MustCompile(`(?m)^\.It .*Cm ` + k.Name + `\b`).Match(manual) {
			t.Errorf("docs/man/spoolgore.conf.5 has no %s", k.Name)
		}
	}
	if rows := strings.Count(string(text), "\n| `"); rows != len(Keys) {
		t.Errorf("docs/configuration.md has %d rows for %d keys", rows, len(Keys))
	}
}
