package aliases

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/matryer/is"
)

const file = `# /etc/aliases
postmaster: root
MAILER-DAEMON: postmaster
root: ann@x, joe   # who else
joe: joe@y,
	# a comment in between
  "Joe Two" <joe2@y>
plus: \plus, p@x
self: self, s@x
a: b
b: c, b@x
c: a, c@x
"quoted name": "q u"@x, "plain"
prog: "|/bin/prog -a, -b"
mixed: m@x, |/bin/prog, /var/mail/m, ":include:rel"
file: /dev/null
list: :include:/l1
diamond: joe, postmaster
joe: twice@x
nothing
: nobody@x
empty:
`

var includes = map[string]string{
	"/l1": "# members\n1@x\n2@x, joe # Joe\n\n:include:/l2\nlist\n",
	"/l2": "3@x\n:include:/l1\n:include:/gone\n",
}

func table(t *testing.T, text string) *Table {
	t.Helper()
	table, err := Parse(strings.NewReader(text), "aliases")
	if err != nil {
		t.Fatal(err)
	}
	table.open = func(path string) (io.ReadCloser, error) {
		if text, ok := includes[path]; ok {
			return io.NopCloser(strings.NewReader(text)), nil
		}
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	return table
}

func TestExpand(t *testing.T) {
	for name, want := range map[string]struct{ targets, problems string }{
		"sue":           {"", ""},
		"postmaster":    {`ann@x|joe@y|"Joe Two" <joe2@y>`, ""},
		"Mailer-Daemon": {`ann@x|joe@y|"Joe Two" <joe2@y>`, ""},
		"plus":          {"plus|p@x", ""},
		"self":          {"self|s@x", ""},
		"a":             {"a|c@x|b@x", ""}, // a loop ends with the name it began with
		"quoted name":   {`"q u"@x|plain`, ""},
		"prog":          {"", "prog: a command is no recipient"},
		"mixed":         {"m@x", "mixed: a command is no recipient|mixed: a file is no recipient|mixed: :include:rel: not an absolute path"},
		"file":          {"", "file: a file is no recipient"},
		"list":          {`1@x|2@x|joe@y|"Joe Two" <joe2@y>|3@x|list`, ":include:/l2: :include:: open /gone: file does not exist"},
		"diamond":       {`joe@y|"Joe Two" <joe2@y>|ann@x`, ""}, // each name once
		"empty":         {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			targets, problems := table(t, file).Expand(name)
			is.Equal(strings.Join(targets, "|"), want.targets)
			var said []string
			for _, p := range problems {
				said = append(said, p.Error())
			}
			is.Equal(strings.Join(said, "|"), want.problems)
		})
	}
}

func TestProblems(t *testing.T) {
	is := is.New(t)
	var said []string
	for _, p := range table(t, file).Problems {
		said = append(said, p.Error())
	}
	is.Equal(said, []string{
		"aliases, line 19: joe is there already",
		"aliases, line 20: no colon behind a name",
		"aliases, line 21: no name before the colon",
		"aliases, line 22: empty stands for nobody",
	})
	_, err := Parse(iotest.ErrReader(errors.New("broken")), "aliases")
	is.True(err != nil) // half a file is none
}

func TestLoad(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	is.NoErr(os.WriteFile(filepath.Join(dir, "list"), []byte("b@x\n"), 0o600))
	is.NoErr(os.WriteFile(filepath.Join(dir, "aliases"), []byte("a: :include:"+dir+"/list\n"), 0o600))
	table, err := Load(filepath.Join(dir, "aliases"))
	is.NoErr(err)
	targets, problems := table.Expand("a")
	is.Equal(targets, []string{"b@x"})
	is.Equal(len(problems), 0)
	_, err = Load(filepath.Join(dir, "gone"))
	is.True(errors.Is(err, os.ErrNotExist))
}

func TestLimits(t *testing.T) {
	is := is.New(t)
	var chain, fan strings.Builder
	for i := range 100 {
		chain.WriteString(strings.Repeat("x", i+1) + ": " + strings.Repeat("x", i+2) + "\n")
	}
	targets, problems := table(t, chain.String()).Expand("x")
	is.Equal(len(targets), 0) // and so x stands for itself
	is.Equal(len(problems), 1)

	fan.WriteString("f: " + strings.Repeat("a@x,", maxTargets+1))
	targets, problems = table(t, fan.String()).Expand("f")
	is.Equal(len(targets), maxTargets)
	is.Equal(len(problems), 1)
}

// Any file ends, in what it says; what a name stands for is neither a command nor a file.
func FuzzAliases(f *testing.F) {
	f.Add(file, "list")
	f.Add("a: b, a\nb: :include:/l1, \\a", "a")
	f.Add("a: \"|x\", \\|y, \\/z, \"\\\"", "a")
	f.Fuzz(func(t *testing.T, text, name string) {
		tab := table(t, text)
		targets, _ := tab.Expand(name)
		for _, target := range targets {
			if target == "" || strings.HasPrefix(target, include) {
				t.Errorf("%q: %q stands for %q", text, name, targets)
			}
		}
	})
}
