package engine

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/unbit/spoolgore"

// The layers of the trunk, from the root down. A package imports only packages of lower layers, directly or through
// others. A package that is on no list is a leaf.
var layers = []struct {
	name  string
	holds []string
}{
	{"commands", []string{
		"cmd/", "internal/cli", "internal/collector", "internal/config", "internal/diagnose", "internal/explain", "internal/hooks",
		"internal/qshape", "internal/shim", "internal/testmail", "internal/web", "spoolhttp", "spooltest",
	}},
	{"root", []string{""}},
	{"engine", []string{"internal/engine"}},
	{"queue and delivery", []string{"internal/queue", "internal/delivery"}},
	{"services of the engine", []string{"internal/mailq", "internal/notify"}},
	{"record and SMTP", []string{"internal/record", "internal/smtppool"}},
	{"leaves", nil},
	{"attempt", []string{"internal/attempt"}},
}

// layerOf returns the index of the layer of a package in layers.
func layerOf(path string) int {
	leaves := 0
	for i, layer := range layers {
		if layer.holds == nil {
			leaves = i
		}
		for _, p := range layer.holds {
			if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
				return i
			}
		}
	}
	return leaves
}

// listed is an element of the output of go list.
type listed struct {
	ImportPath string
	Deps       []string
}

// packages lists the packages of this module, without tests.
func packages(t *testing.T) (all []listed) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Deps", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, errorText(err))
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func errorText(err error) string {
	exit := new(exec.ExitError)
	if errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}

// inModule returns the path of a package below the root of the module; the root itself is "".
func inModule(path string) (below string, ok bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func TestNoPackageImportsAPackageAboveIt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command: ", err)
	}
	seen := map[string]bool{}
	for _, p := range packages(t) {
		path, ok := inModule(p.ImportPath)
		if !ok {
			t.Fatalf("%s is not in the module", p.ImportPath)
		}
		seen[path] = true
		layer := layerOf(path)
		for _, dep := range p.Deps {
			below, ok := inModule(dep)
			if !ok {
				continue
			}
			if to := layerOf(below); to < layer || to == layer && layers[to].holds != nil && layers[to].name != "commands" {
				t.Errorf("%s (%s) imports %s (%s)", p.ImportPath, layers[layer].name, dep, layers[to].name)
			}
		}
	}
	for _, layer := range layers {
		for _, path := range layer.holds {
			if !strings.HasSuffix(path, "/") && !seen[path] {
				t.Errorf("there is no package %q: remove it from the list", path)
			}
		}
	}
}

// Packages that decide must not import packages that act.
func TestPackagesThatMustNotImportEachOther(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command: ", err)
	}
	unknown := map[string][]string{
		"internal/queue": {
			"internal/spooldir", "internal/msgfile", "internal/journal", "internal/fsys", "internal/delivery",
			"internal/smtppool", "internal/smtpclient",
		},
		"internal/delivery": {
			"internal/record", "internal/queue", "internal/retry", "internal/spooldir", "internal/msgfile",
			"internal/journal",
		},
		"internal/attempt": {"internal"}, // imports no package of the module
		"internal/record": {
			"internal/spooldir", "internal/msgfile", "internal/journal", "internal/fsys", "internal/smtpclient",
		},
	}
	for _, p := range packages(t) {
		path, _ := inModule(p.ImportPath)
		for _, dep := range p.Deps {
			below, ok := inModule(dep)
			for _, no := range unknown[path] {
				if ok && (below == no || strings.HasPrefix(below, no+"/")) {
					t.Errorf("%s imports %s", path, below)
				}
			}
		}
	}
}
