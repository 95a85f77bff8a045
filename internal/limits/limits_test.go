package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// source writes a file of a package in a new directory. The files of tests beside it break every limit.
func source(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	long := "package p\n" + strings.Repeat("// x\n", 2*maxFile) + strings.Repeat("x", 2*maxColumns) + "\n"
	for name, text := range map[string]string{"a.go": text, "a_test.go": "//" + long} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
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
	for name, tt := range map[string]struct {
		good, bad, want string
	}{
		"file":     {lines(400), lines(401), "a.go: 401 lines, limit 400"},
		"function": {function(50), function(51), "a.go:2: f: 51 lines, limit 50"},
		"columns":  {wide(120), wide(121), "a.go:2: 121 columns, limit 120"},
		"methods":  {methods(20), methods(21), ".: type t: 21 methods, limit 20"},
		"total":    {lines(300), lines(301), ".: 301 lines in all files, limit 300"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			all := []target{{dir: ".", columns: true}}
			if name == "total" {
				all[0].total = 300
			}
			got, err := check(source(t, tt.good), all)
			is.NoErr(err)
			is.Equal(len(got), 0) // at the limit
			got, err = check(source(t, tt.bad), all)
			is.NoErr(err)
			is.Equal(got, []string{tt.want})
		})
	}
}

func TestADirectoryWithoutSourceIsAnError(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	_, err := check(t.TempDir(), []target{{dir: "."}})
	is.True(err != nil) // a package that was renamed is not passed over
}
