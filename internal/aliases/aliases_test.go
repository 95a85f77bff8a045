package aliases

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/sendmail"
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
spool: /var/mail/x
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
		"a":             {"a|c@x|b@x", ""}, // a loop ends at the name it began with
		"quoted name":   {`"q u"@x|plain`, ""},
		"prog":          {"", "prog: a command is not supported as a recipient"},
		"mixed":         {"m@x", "mixed: a command is not supported as a recipient|mixed: a file is not supported as a recipient|mixed: :include:rel: not an absolute path"},
		"file":          {"", ""},
		"spool":         {"", "spool: a file is not supported as a recipient"},
		"list":          {`1@x|2@x|joe@y|"Joe Two" <joe2@y>|3@x|list`, ":include:/l2: :include:: open /gone: file does not exist"},
		"diamond":       {`joe@y|"Joe Two" <joe2@y>|ann@x`, ""}, // each target once
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
		"aliases, line 14: prog: a command is not supported as a recipient",
		"aliases, line 15: mixed: a command is not supported as a recipient",
		"aliases, line 15: mixed: a file is not supported as a recipient",
		"aliases, line 17: spool: a file is not supported as a recipient",
		"aliases, line 20: second entry for joe",
		"aliases, line 21: no colon behind a name",
		"aliases, line 22: no name before the colon",
		"aliases, line 23: empty has no recipients",
	})
	_, err := Parse(iotest.ErrReader(errors.New("broken")), "aliases")
	is.True(err != nil) // a file that could not be read completely has no aliases
}

func TestLookup(t *testing.T) {
	is := is.New(t)
	tab := table(t, "root: joe@localhost, ann@h.example, a@x\njoe: /dev/null\nann: Root@Localhost, ann@h.example, b@x\n")
	tab.Local = func(domain string) bool { return strings.EqualFold(domain, "localhost") || domain == "h.example" }
	a, ok := tab.Lookup("root")
	is.True(ok)
	is.Equal(strings.Join(a.Targets, " "), "Root ann b@x a@x") // local names are looked up, and loops end
	is.True(a.Discard)
	is.Equal(len(a.Problems), 0)
	_, ok = tab.Lookup("sue")
	is.True(!ok)
	a, ok = tab.Lookup("joe")
	is.True(ok && a.Discard && len(a.Targets) == 0)
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

func TestIncludedFilesAreReadOnceForAClient(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	is.NoErr(os.WriteFile(list, []byte("b@x\n"), 0o600))
	is.NoErr(os.WriteFile(filepath.Join(dir, "aliases"), []byte("team: :include:"+list+", |prog\n"), 0o600))
	var d sendmail.Defaults
	said := 0
	is.NoErr(AddTo(&d, filepath.Join(dir, "aliases"), "h.example", func(string) { said++ }))
	_, ok := d.Aliases("other")
	is.True(!ok)
	for _, name := range []string{"team", "Team", "TEAM"} {
		a, ok := d.Aliases(name)
		is.True(ok)
		is.Equal(a.Targets, []string{"b@x"})
		is.NoErr(os.RemoveAll(list))
	}
	is.Equal(said, 1)
}

// /etc/aliases is a symbolic link on some systems, such as FreeBSD.
func TestLoadThroughALink(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	is.NoErr(os.Mkdir(filepath.Join(dir, "mail"), 0o700))
	is.NoErr(os.WriteFile(filepath.Join(dir, "mail", "aliases"), []byte("root: ann@x.org\n"), 0o600))
	if err := os.Symlink(filepath.Join("mail", "aliases"), filepath.Join(dir, "aliases")); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	tab, err := Load(filepath.Join(dir, "aliases"))
	is.NoErr(err)
	targets, _ := tab.Expand("root")
	is.Equal(targets, []string{"ann@x.org"})
}

func TestLimits(t *testing.T) {
	is := is.New(t)
	var chain, fan strings.Builder
	for i := range 100 {
		chain.WriteString(strings.Repeat("x", i+1) + ": " + strings.Repeat("x", i+2) + "\n")
	}
	targets, problems := table(t, chain.String()).Expand("x")
	is.Equal(len(targets), 0) // x has no alias and is used as it is
	is.Equal(len(problems), 1)

	fan.WriteString("f: " + strings.Repeat("a@x,", maxTargets+1))
	targets, problems = table(t, fan.String()).Expand("f")
	is.Equal(len(targets), maxTargets)
	is.Equal(len(problems), 1)
}

// The work for a hostile file that an alias includes is bounded, whatever the file contains.
func TestIncludedFilesHaveLimitsTogether(t *testing.T) {
	const dir = "/home/eve/"
	var itself strings.Builder
	for i := range 10 * maxFiles {
		itself.WriteString(include + dir + "x" + strconv.Itoa(i) + "/../list\n")
	}
	for name, c := range map[string]struct {
		list, other string // content of the included file, and of the files that it includes
		want        string // text in the first problem
	}{
		"many targets in a line":  {strings.Repeat("a,", maxSize/2), "", "more than 100000 recipients"},
		"many long files":         {includeLines(dir, 100), strings.Repeat("#", maxSize/4), "longer than 16 MiB"},
		"many short files":        {includeLines(dir, 10*maxFiles), "#\n", "more than 1000 included files"},
		"itself under many names": {itself.String(), itself.String(), "more than 50 names"},
		"many faults":             {strings.Repeat("|x\n", maxSize/3), "", "a command is not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			tab := table(t, "team: "+include+dir+"list\n")
			files, octets := 0, 0
			tab.open = func(path string) (io.ReadCloser, error) {
				text := c.other
				if files++; path == dir+"list" {
					text = c.list
				}
				return io.NopCloser(&counter{strings.NewReader(text), &octets}), nil
			}
			a, ok := tab.Lookup("team")
			is.True(ok)
			is.True(len(a.Targets) <= maxTargets)
			is.True(len(a.Problems) > 0 && strings.Contains(a.Problems[0].Error(), c.want))
			is.True(len(a.Problems) <= maxFaults) // each problem goes to the terminal or to the log
			is.True(files <= maxFiles)
			is.True(octets < 2*maxSize)
		})
	}
}

// counter counts the octets that are read.
type counter struct {
	io.Reader
	octets *int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.octets += n
	return n, err
}

// includeLines returns n lines that include files of a directory.
func includeLines(dir string, n int) string {
	var list strings.Builder
	for i := range n {
		list.WriteString(include + dir + strconv.Itoa(i) + "\n")
	}
	return list.String()
}

// Reading ends for any content. No target is a command or a file.
func FuzzAliases(f *testing.F) {
	f.Add(file, "list")
	f.Add("a: b, a\nb: :include:/l1, \\a", "a")
	f.Add("a: \"|x\", \\|y, \\/z, \"\\\"", "a")
	f.Add(`a: \:include:/l1`, "a")
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
