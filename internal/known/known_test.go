package known

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestList(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	list, err := List()
	is.NoErr(err)
	for _, e := range list {
		is.True(regexp.MustCompile(`^F\d+(/[a-z0-9-]+)?$`).MatchString(e.Name)) // a number, and possibly a variant
		is.True(regexp.MustCompile(`^([4-9]|1[0-4])/14$`).MatchString(e.Issue)) // a later issue
		is.True(len(e.About) <= 100)                                            // one short line
		is.True(Listed(e.Name))
	}
	is.True(!Listed("F0"))
}

func TestParse(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	list, err := parse("# comment\n\nF1/a\t4/14\tlost\nF2\t5/14\tsent twice\n")
	is.NoErr(err)
	is.Equal(list, []Entry{{"F1/a", "4/14", "lost"}, {"F2", "5/14", "sent twice"}})
	for _, bad := range []string{"F1 4/14 lost\n", "F1\t4/14\n", "F1\t\tlost\n", "F1\t4/14\tlost\nF1\t4/14\tlost\n"} {
		_, err := parse(bad)
		is.True(err != nil) // a malformed line is an error
	}
}

func TestKnownFaultVerdict(t *testing.T) {
	t.Parallel()
	seen := errors.New("two copies")
	for _, tt := range []struct {
		name   string
		listed bool
		seen   error
		fail   bool
		say    string
	}{
		{"listed and seen", true, seen, false, "known fault F1: two copies"},
		{"listed and not seen", true, nil, true,
			"fault F1 is listed as known but was not seen: take it off internal/known/list.txt"},
		{"not listed and seen", false, seen, true, "fault F1: two copies"},
		{"not listed and not seen", false, nil, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			fail, say := judge("F1", tt.listed, tt.seen)
			is.Equal(fail, tt.fail)
			is.Equal(say, tt.say)
		})
	}
}

func TestChild(t *testing.T) {
	if InChild() {
		panic("the child panics")
	}
	is := is.New(t)
	output, err := Child(t)
	is.True(err != nil)
	is.True(strings.Contains(output, "panic: the child panics"))
}

// TestEachFaultHasATest reads the tests of the module: exactly one test shows each fault in the list.
func TestEachFaultHasATest(t *testing.T) {
	t.Parallel()
	is := is.NewRelaxed(t)
	list, err := List()
	is.NoErr(err)
	calls := map[string][]string{}
	is.NoErr(filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && path != "../..":
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			return faultsIn(t, path, calls)
		}
		return nil
	}))
	is.True(len(calls) > 0)
	for _, e := range list {
		if len(calls[e.Name]) == 0 {
			t.Errorf("%s is listed, but no test shows it", e.Name)
		}
	}
	for name, places := range calls {
		if len(places) > 1 {
			t.Errorf("%s has %d tests: %s", name, len(places), strings.Join(places, ", "))
		}
	}
}

// faultsIn adds the places of the calls of known.Fault in a file to calls, by fault.
func faultsIn(t *testing.T, path string, calls map[string][]string) error {
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "known.Fault(") {
		return err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, 0)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 3 {
			return true
		}
		if fun, ok := call.Fun.(*ast.SelectorExpr); !ok || fun.Sel.Name != "Fault" {
			return true
		} else if pkg, ok := fun.X.(*ast.Ident); !ok || pkg.Name != "known" {
			return true
		}
		place := files.Position(call.Pos()).String()
		literal, ok := call.Args[1].(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			t.Errorf("%s: the name of a fault must be a literal", place)
			return true
		}
		name, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Errorf("%s: %v", place, err)
			return true
		}
		calls[name] = append(calls[name], place)
		return true
	})
	return nil
}
