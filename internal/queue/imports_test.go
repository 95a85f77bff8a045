package queue

import (
	"go/build"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/unbit/spoolgore/"

// ioPackages are the packages of the standard library for files, the network, other processes, the system, and waiting.
var ioPackages = []string{
	"context", "io/fs", "io/ioutil", "log", "log/slog", "net", "net/http", "os", "os/exec", "os/signal", "path/filepath",
	"runtime", "sync", "sync/atomic", "syscall", "math/rand", "math/rand/v2", "crypto/rand", "unsafe",
}

// The packages of this module that queue and record may import, directly or through others. Each has the packages of
// ioPackages that it imports itself, and the reason why that is no I/O.
var pure = map[string]map[string]string{
	"internal/attempt":   {"sync": "patterns of replies, which are compiled at their first use"},
	"internal/chunks":    nil,
	"internal/fairqueue": nil,
	"internal/message": {
		"io/fs": "ErrClosed, an error of a reader",
		"sync":  "a pool of buffers",
	},
	"internal/compact": nil,
	"internal/pqueue":  nil,
	"internal/queue":   nil,
	"internal/record": {
		"path/filepath": "Base, of a key of the status file",
		"runtime":       "GOMAXPROCS: a status file is decoded on up to four processors",
		"sync":          "the end of that decoding",
	},
	"internal/dsn":      {"net": "SplitHostPort, of the name of a relay"},
	"internal/retry":    nil,
	"internal/routing":  nil,
	"internal/textline": nil,
}

// All packages of this module that queue imports are on the list, and none of them imports a package of ioPackages
// unless the list has the reason. The transitive imports of the standard library are not followed: fmt and time import
// os.
func TestImportsDoNoIO(t *testing.T) {
	seen := map[string]bool{}
	for todo := []string{"internal/queue", "internal/record"}; len(todo) > 0; {
		name := todo[0]
		if todo = todo[1:]; seen[name] {
			continue
		}
		seen[name] = true
		allowed, ok := pure[name]
		if !ok {
			t.Errorf("%s is imported, and is not on the list", name)
		}
		p, err := build.ImportDir("../../"+name, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range p.Imports {
			inside, ok := strings.CutPrefix(path, module)
			switch {
			case ok:
				todo = append(todo, inside)
			case slices.Contains(ioPackages, path) && allowed[path] == "":
				t.Errorf("%s imports %s", name, path)
			case strings.Contains(strings.Split(path, "/")[0], "."):
				t.Errorf("%s imports %s, which is not of this module", name, path)
			}
		}
		for path := range allowed {
			if !slices.Contains(p.Imports, path) {
				t.Errorf("%s does not import %s any more: remove it from the list", name, path)
			}
		}
	}
	for name := range pure {
		if !seen[name] {
			t.Errorf("%s is not imported any more: remove it from the list", name)
		}
	}
}
