package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The limits that are the same for every package. A line may have as many columns, and a tab counts as tabWidth.
const (
	maxFile     = 400
	maxFunction = 50
	maxColumns  = 120
	maxMethods  = 20
	tabWidth    = 4
)

// A target is a directory to check.
type target struct {
	dir     string // below the root of the repository
	total   int    // lines of all files at most; zero: no limit
	columns bool   // the limit on columns holds
}

// repository lists the directories with limits. Several of those without a limit on columns broke it when this list was
// made.
var repository = []target{
	{dir: ".", total: 1700, columns: true},
	{dir: "internal/record", columns: true},
	{dir: "internal/attempt", columns: true},
	{dir: "internal/queue", columns: true},
	{dir: "internal/engine", columns: true},
	{dir: "internal/delivery", columns: true},
	{dir: "internal/spooldir"},
	{dir: "internal/smtpclient"},
	{dir: "internal/smtppool"},
	{dir: "internal/fsys"},
	{dir: "internal/notify"},
	{dir: "internal/journal"},
	{dir: "internal/asyncfile"},
}

// check returns a text for each limit that is broken in a target below root. An error means that a target has no Go
// source, or source that cannot be read.
func check(root string, targets []target) (broken []string, err error) {
	for _, t := range targets {
		texts, err := t.check(root)
		if err != nil {
			return nil, err
		}
		broken = append(broken, texts...)
	}
	return broken, nil
}

func (t target) check(root string) (broken []string, err error) {
	names, err := filepath.Glob(filepath.Join(root, t.dir, "*.go"))
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no Go source", t.dir)
	}
	total, methods := 0, make(map[string]int)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		at := filepath.ToSlash(filepath.Join(t.dir, filepath.Base(name)))
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		total += len(lines)
		if len(lines) > maxFile {
			broken = append(broken, fmt.Sprintf("%s: %d lines, limit %d", at, len(lines), maxFile))
		}
		if t.columns {
			broken = append(broken, wideLines(at, lines)...)
		}
		texts, err := declarations(at, text, methods)
		if err != nil {
			return nil, err
		}
		broken = append(broken, texts...)
	}
	if t.total > 0 && total > t.total {
		broken = append(broken, fmt.Sprintf("%s: %d lines in all files, limit %d", t.dir, total, t.total))
	}
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		if n := methods[name]; n > maxMethods {
			broken = append(broken, fmt.Sprintf("%s: type %s: %d methods, limit %d", t.dir, name, n, maxMethods))
		}
	}
	return broken, nil
}

func wideLines(at string, lines []string) (broken []string) {
	for i, line := range lines {
		n := len([]rune(line)) + (tabWidth-1)*strings.Count(line, "\t")
		if n > maxColumns {
			broken = append(broken, fmt.Sprintf("%s:%d: %d columns, limit %d", at, i+1, n, maxColumns))
		}
	}
	return broken
}

// declarations checks the length of the functions in a file and adds the methods of each type to methods.
func declarations(at string, text []byte, methods map[string]int) (broken []string, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, at, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		first, last := set.Position(f.Pos()).Line, set.Position(f.End()).Line
		if n := last - first + 1; n > maxFunction {
			broken = append(broken, fmt.Sprintf("%s:%d: %s: %d lines, limit %d", at, first, f.Name.Name, n, maxFunction))
		}
		if f.Recv != nil {
			methods[receiver(f.Recv.List[0].Type)]++
		}
	}
	return broken, nil
}

// receiver returns the name of the type of a receiver, without pointer and type parameters.
func receiver(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.ParenExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.IndexListExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}
