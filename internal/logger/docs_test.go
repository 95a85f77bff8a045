package logger

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// A logCall is a call of a method of slog.Logger.
type logCall struct {
	at     string // file and line
	level  string
	text   string // message; empty: not a constant
	fields []string
	open   bool // the call may have more fields than these
}

// levels are the methods of slog.Logger, and the argument that is the message.
func levels(method string) (level string, message int, ok bool) {
	switch method {
	case "Debug", "Info", "Warn", "Error":
		return strings.ToLower(method), 0, true
	case "Log", "LogAttrs":
		return "", 2, true
	}
	return "", 0, false
}

// logCalls returns the calls in a file whose receiver is called log or logger.
func logCalls(set *token.FileSet, file *ast.File) (calls []logCall) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !isLogger(method.X) {
			return true
		}
		level, message, ok := levels(method.Sel.Name)
		if !ok || len(call.Args) <= message {
			return true
		}
		c := logCall{at: set.Position(call.Pos()).String(), level: level, open: call.Ellipsis.IsValid()}
		c.text = constant(call.Args[message])
		c.fields = fieldNames(call.Args[message+1:])
		calls = append(calls, c)
		return true
	})
	return calls
}

// isLogger reports whether an expression ends in log, logger, Log or Logger.
func isLogger(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.Ident:
		return strings.EqualFold(x.Name, "log") || strings.EqualFold(x.Name, "logger")
	case *ast.SelectorExpr:
		return isLogger(x.Sel)
	}
	return false
}

// constant returns the value of a string literal, or "" for other expressions.
func constant(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(lit.Value)
	return text
}

// fieldNames returns the names among the arguments after the message: every second one, or the first of slog.String(...).
func fieldNames(args []ast.Expr) (names []string) {
	for i := 0; i < len(args); i++ {
		if attr, ok := args[i].(*ast.CallExpr); ok && len(attr.Args) > 0 && constant(attr.Args[0]) != "" {
			names = append(names, constant(attr.Args[0]))
			continue
		}
		if name := constant(args[i]); name != "" {
			names = append(names, name)
		}
		i++
	}
	return names
}

// A documented message is a row of the table in docs/monitoring.md.
type documented struct {
	levels, fields []string
	used           map[string]bool // fields that a call in the source has
}

// documentedMessages returns the rows by text.
func documentedMessages(t *testing.T) map[string]*documented {
	t.Helper()
	f, err := os.Open("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := make(map[string]*documented)
	row := regexp.MustCompile("^\\| ([a-z, ]+) \\| (`.*`) \\|(.*)\\|$")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m := row.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		fields := regexp.MustCompile(`[a-z][a-z_-]*`).FindAllString(m[3], -1)
		for _, text := range regexp.MustCompile("`[^`]+`").FindAllString(m[2], -1) {
			all[strings.Trim(text, "`")] = &documented{strings.Split(m[1], ", "), fields, make(map[string]bool)}
		}
	}
	return all
}

// sourceFiles parses the source of the program, without tests.
func sourceFiles(t *testing.T, set *token.FileSet) (files []*ast.File) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "bench" || d.Name() == "callers"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		files = append(files, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// eventTexts returns the values of the map of the texts of events, in package engine.
func eventTexts(files []*ast.File) (texts []string) {
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Names[0].Name != "texts" || len(spec.Values) == 0 {
				return true
			}
			for _, e := range spec.Values[0].(*ast.CompositeLit).Elts {
				texts = append(texts, constant(e.(*ast.KeyValueExpr).Value))
			}
			return false
		})
	}
	return texts
}

// Log messages are an interface: docs/monitoring.md has each of them, with its levels and fields, and no others.
func TestTheDocumentsHaveEveryMessage(t *testing.T) {
	is := is.New(t)
	rows := documentedMessages(t)
	set := token.NewFileSet()
	files := sourceFiles(t, set)
	events := eventTexts(files)
	is.True(len(events) > 3) // the texts were found
	seen := make(map[string]bool)
	for _, text := range events {
		seen[text] = true
		is.True(rows[text] != nil) // each event has a row
	}
	for _, file := range files {
		for _, call := range logCalls(set, file) {
			row := rows[call.text]
			switch {
			case call.text == "" && !call.open:
				t.Errorf("%s: the message is not constant", call.at)
				continue
			case call.text == "":
				continue // the text of an event
			case row == nil:
				t.Errorf("%s: %q is not documented", call.at, call.text)
				continue
			}
			seen[call.text] = true
			if call.level != "" && !slices.Contains(row.levels, call.level) {
				t.Errorf("%s: %q has level %s, documented is %v", call.at, call.text, call.level, row.levels)
			}
			for _, name := range call.fields {
				row.used[name] = true
				if !slices.Contains(row.fields, name) {
					t.Errorf("%s: field %s of %q is not documented", call.at, name, call.text)
				}
			}
			if call.open {
				for _, name := range row.fields {
					row.used[name] = true
				}
			}
		}
	}
	is.True(len(seen) > 40) // the calls were found
	for _, text := range slices.Sorted(maps.Keys(rows)) {
		if !seen[text] {
			t.Errorf("%q is documented, but no line of the source logs it", text)
			continue
		}
		for _, name := range rows[text].fields {
			if !rows[text].used[name] && !slices.Contains(events, text) {
				t.Errorf("field %s of %q is documented, but no line of the source has it", name, text)
			}
		}
	}
}
