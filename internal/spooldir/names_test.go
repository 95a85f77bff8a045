package spooldir

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestNamesAreSpelledOnce fails if another source file contains the name of a file of the spool as a string.
func TestNamesAreSpelledOnce(t *testing.T) {
	t.Parallel()
	names := []string{StatusFile, JournalFile, RateFile, StateFile, LockFile, ownTemp, whySuffix}
	root, files := filepath.Join("..", ".."), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bench"): // bench is a module of its own
			return filepath.SkipDir
		case filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"), path == filepath.Join(root, "internal", "spooldir", "names.go"):
			return nil
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && slices.Contains(names, text) {
					t.Errorf("%v spells %q, which internal/spooldir has a name for", set.Position(lit.Pos()), text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files were read: %v", files, err)
	}
}

// All patterns of path.Match are supported. Most of them take a shorter way.
func TestTemporaryNamesAreThoseOfPathMatch(t *testing.T) {
	t.Parallel()
	patterns := append(Temporary(), "*", "*.*", "*[ab]", `*\*`, `*\`, "a?c", "", "**x", "abc", "*c", "*[", "*.p?rt")
	names := []string{
		"", "a", "abc", "a~", "~", "m.tmp", ".tmp", "tmp", "x.part", "x.partx", "#x#", "##", "a*", "bb", `a\`, "x.port",
	}
	for _, pattern := range patterns {
		for _, name := range names {
			want, _ := path.Match(pattern, name)
			if got := IsTemporary(name, []string{pattern}); got != want {
				t.Errorf("%q matches %q: %v, path.Match: %v", pattern, name, got, want)
			}
		}
	}
}

// Several paths are allocated for each message.
func TestAPathTakesOneAllocation(t *testing.T) {
	d, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []Place{Spool, Hold, Failed} {
		if n := testing.AllocsPerRun(100, func() { sink = d.At(place, "a long enough name of a message.eml") }); n > 1 {
			t.Errorf("%q: %v allocations", place, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { IsTemporary("a long enough name of a message.eml", nil) }); n > 0 {
		t.Errorf("IsTemporary: %v allocations", n)
	}
}

var sink string // keeps results, so that the compiler does not remove the calls
