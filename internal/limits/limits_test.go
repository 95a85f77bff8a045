package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// source writes a file of package dir/p to a new directory and returns its figures. Test files beside it break every
// limit.
func source(t *testing.T, text string) *report {
	t.Helper()
	root := t.TempDir()
	long := "package p\n" + strings.Repeat("// it\n", 2*maxFile) + "// " + strings.Repeat("x", 2*maxColumns) + "\n"
	for name, text := range map[string]string{"p/a.go": text, "p/a_test.go": long, "testdata/b.go": long} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := measure(root)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEachLimitHoldsAndIsSeenWhenBroken(t *testing.T) {
	t.Parallel()
	methods := func(n int) string {
		text := "package p\ntype t[T any] struct{}\n"
		for i := range n {
			text += fmt.Sprintf("func (x %s) m%d() {}\n", []string{"t[T]", "*t[T]"}[i%2], i)
		}
		return text
	}
	lines := func(n int) string { return "package p\n" + strings.Repeat("\n", n-1) }
	function := func(n int) string { return "package p\nfunc f() {\n" + strings.Repeat("\n", n-2) + "}\n" }
	wide := func(n int) string { return "package p\n//\t" + strings.Repeat("ö", n-2-tabWidth) + "\n" }
	comment := func(text string) string { return "package p\n\n// " + text + "\nvar x int\n" }
	limits := ceilings{pronouns: 10, nobody: 100}
	for name, tt := range map[string]struct {
		good, bad, want string
	}{
		"file":     {lines(400), lines(401), "p/a.go: 401 lines, limit 400"},
		"function": {function(50), function(51), "p.f: 51 lines, limit 50"},
		"columns":  {wide(120), wide(121), "p/a.go:2: 121 columns\n1 lines of more than 120 columns, limit 0"},
		"methods":  {methods(20), methods(21), "p.t: 21 methods, limit 20"},
		"pronouns": {comment("It is a b c d e f g h."), comment("It's that, a b c d e f g."), "11.11 pronouns per 100 words of comments, limit 10.0"},
		"nobody":   {comment("Nobody is a b c d e f g h."), comment("Nothing is a b c d e f g."), "111.11 nobody, nothing, whoever, whatever per 1,000 words of comments, limit 100.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			is.Equal(len(source(t, tt.good).broken(limits)), 0) // at the limit
			is.Equal(strings.Join(source(t, tt.bad).broken(limits), "\n"), tt.want)
		})
	}
}

func TestTheRootPackageHasALimit(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	r := &report{files: map[string]int{"a.go": 1, "b.go": 1, "c.go": 1, "d.go": 1, "p/e.go": 1}}
	is.Equal(len(r.broken(ceilings{})), 0)
	r.files["f.go"] = 1
	is.Equal(r.broken(ceilings{}), []string{"root: 5 files, limit 4"})
}

func TestADirectoryWithoutSourceIsAnError(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	_, err := measure(t.TempDir())
	is.True(err != nil)
}
