package spoolgore

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
)

var update = flag.Bool("update", false, "write docs/api.txt")

// docs/api.txt has every exported symbol of the public packages: a change of the API is a change of that file.
func TestAPI(t *testing.T) {
	is := is.New(t)
	var text bytes.Buffer
	for _, dir := range publicPackages(t) {
		writeAPI(t, &text, dir)
	}
	if *update {
		is.NoErr(os.WriteFile("docs/api.txt", text.Bytes(), 0o644))
	}
	want, err := os.ReadFile("docs/api.txt")
	is.NoErr(err)
	is.Equal(string(want), text.String()) // go test -run TestAPI -update .
}

// publicPackages returns the directories of the packages that programs can import.
func publicPackages(t *testing.T) []string {
	t.Helper()
	dirs := []string{"."}
	for _, name := range []string{"spooltest", "spoolhttp"} {
		if _, err := os.Stat(name); err == nil {
			dirs = append(dirs, name)
		}
	}
	return dirs
}

// writeAPI writes the exported declarations of the package in dir, without comments, sorted.
func writeAPI(t *testing.T, to *bytes.Buffer, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	set, name := token.NewFileSet(), ""
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		name = file.Name.Name
		ast.FileExports(file)
		for _, decl := range file.Decls {
			all = append(all, declaration(t, set, decl))
		}
	}
	slices.Sort(all)
	fmt.Fprintf(to, "package %s\n\n%s\n", name, strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "\n"))
}

// declaration returns the text of an exported declaration, or "" for an import.
func declaration(t *testing.T, set *token.FileSet, decl ast.Decl) string {
	t.Helper()
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Body = nil; d.Recv != nil && !ast.IsExported(receiverOf(d.Recv.List[0].Type)) {
			return ""
		}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return ""
		}
	}
	var text bytes.Buffer
	if err := (&printer.Config{Mode: printer.RawFormat}).Fprint(&text, token.NewFileSet(), decl); err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(text.String(), "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	for i, line := range lines {
		indent := ""
		if i > 0 && i < len(lines)-1 {
			indent = "\t"
		}
		lines[i] = indent + strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// receiverOf returns the name of the type of a receiver.
func receiverOf(e ast.Expr) string {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	name, _ := e.(*ast.Ident)
	return name.Name
}

// A program that imports the package gets these modules, and no others: no Prometheus, no server of go-smtp, no
// systemd, no oauth2.
func TestModulesOfTheRoot(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command: ", err)
	}
	is := is.New(t)
	list := func(pkg string) []string {
		out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", pkg).Output()
		is.NoErr(err)
		modules := strings.Fields(string(out))
		slices.Sort(modules)
		return slices.Compact(modules)
	}
	want := strings.Fields(`
		github.com/cention-sany/utf7
		github.com/cespare/xxhash/v2
		github.com/clipperhouse/displaywidth
		github.com/clipperhouse/uax29/v2
		github.com/emersion/go-sasl
		github.com/fatih/color
		github.com/gogs/chardet
		github.com/google/renameio/v2
		github.com/inbucket/html2text
		github.com/jhillyerd/enmime/v2
		github.com/mattn/go-colorable
		github.com/mattn/go-isatty
		github.com/mattn/go-runewidth
		github.com/olekukonko/cat
		github.com/olekukonko/errors
		github.com/olekukonko/ll
		github.com/olekukonko/tablewriter
		github.com/pkg/errors
		github.com/ssor/bom
		github.com/unbit/spoolgore
		github.com/xdg-go/scram
		github.com/xdg-go/stringprep
		golang.org/x/net
		golang.org/x/sys
		golang.org/x/text`)
	is.Equal(strings.Join(list("."), "\n"), strings.Join(want, "\n"))
	is.Equal(list("./spooltest"), want) // spooltest adds no module
}
