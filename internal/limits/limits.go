package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Limits of every package. A tab counts as tabWidth columns.
const (
	maxFile      = 400 // lines
	maxRootFiles = 4   // source files of the root package: spoolgore.go, queue.go, deliver.go, status.go
	maxFunction  = 50  // lines
	maxColumns   = 120
	maxMethods   = 20 // of a type
	tabWidth     = 4
)

// ceilings are limits of the whole repository. They may only fall, down to the goals.
type ceilings struct {
	wide     int     // lines with more than maxColumns; goal: 0
	pronouns float64 // per 100 words of comments; goal: 5.0
	nobody   float64 // nobody, nothing, whoever, whatever per 1,000 words of comments; goal: 0.7
}

// today are the ceilings of the repository.
func today() ceilings { return ceilings{wide: 0, pronouns: 4.3, nobody: 0.7} }

// A report has the figures of the source below a directory.
type report struct {
	root      string
	files     map[string]int // lines by path
	functions map[string]int // lines by "directory.name"; only those above the limit
	methods   map[string]int // by "directory.type"
	wide      []string       // "path:line: columns"
	words     int            // of comments
	pronouns  int
	nobody    int
}

// measure reads the source below root, without tests.
func measure(root string) (*report, error) {
	r := &report{root: root, files: map[string]int{}, functions: map[string]int{}, methods: map[string]int{}}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" ||
			name == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return r.add(path, filepath.ToSlash(rel))
	})
	if err == nil && len(r.files) == 0 {
		err = fmt.Errorf("%s: no Go source", root)
	}
	return r, err
}

// add adds the figures of one file.
func (r *report) add(path, rel string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, line := range lines {
		if n := len([]rune(line)) + (tabWidth-1)*strings.Count(line, "\t"); n > maxColumns {
			r.wide = append(r.wide, fmt.Sprintf("%s:%d: %d columns", rel, i+1, n))
		}
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, rel, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	r.addWords(file)
	if isTool(rel) {
		return nil
	}
	r.files[rel] = len(lines)
	r.addDeclarations(set, file, filepath.ToSlash(filepath.Dir(rel)))
	return nil
}

// isTool reports whether a file is no part of the product: benchmarks, and fakes for tests.
func isTool(rel string) bool {
	return strings.HasPrefix(rel, "bench/") || strings.HasPrefix(rel, "examples/") ||
		strings.HasPrefix(rel, "internal/smtptest/")
}

func (r *report) addDeclarations(set *token.FileSet, file *ast.File, dir string) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; n > maxFunction {
			r.functions[dir+"."+f.Name.Name] = n
		}
		if f.Recv != nil {
			r.methods[dir+"."+receiver(f.Recv.List[0].Type)]++
		}
	}
}

// broken returns a line for each limit that does not hold.
func (r *report) broken(c ceilings) (broken []string) {
	say := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	rootFiles := 0
	over := make(map[string]string)
	for path, n := range r.files {
		if n > maxFile {
			over[path] = fmt.Sprintf("%s: %d lines, limit %d", path, n, maxFile)
		}
		if !strings.Contains(path, "/") {
			rootFiles++
		}
	}
	if rootFiles > maxRootFiles {
		say("root: %d files, limit %d", rootFiles, maxRootFiles)
	}
	for name, n := range r.functions {
		over[name] = fmt.Sprintf("%s: %d lines, limit %d", name, n, maxFunction)
	}
	for name, n := range r.methods {
		if n > maxMethods {
			over[name] = fmt.Sprintf("%s: %d methods, limit %d", name, n, maxMethods)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(over)) {
		say("%s", over[name])
	}
	return append(broken, r.brokenCeilings(c)...)
}

// brokenCeilings returns a line for each ceiling that does not hold.
func (r *report) brokenCeilings(c ceilings) (broken []string) {
	if len(r.wide) > c.wide {
		broken = append(broken, r.wide...)
		broken = append(broken, fmt.Sprintf("%d lines of more than %d columns, limit %d", len(r.wide), maxColumns,
			c.wide))
	}
	pronouns, nobody := r.perWords()
	if pronouns > c.pronouns {
		broken = append(broken, fmt.Sprintf("%.2f pronouns per 100 words of comments, limit %.1f", pronouns,
			c.pronouns))
	}
	if nobody > c.nobody {
		broken = append(broken, fmt.Sprintf("%.2f nobody, nothing, whoever, whatever per 1,000 words of comments, "+
			"limit %.1f", nobody, c.nobody))
	}
	return broken
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
