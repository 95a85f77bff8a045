package aliases

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
)

// expansion is the state of one lookup. The owner of an included file decides about its content. So the limits are for
// the lookup as a whole: a sender, and the daemon with -listen, do no more work for a hostile file than for a long one.
type expansion struct {
	table    *Table
	path     []string        // names and files that are being expanded
	seen     map[string]bool // names and files that were expanded
	files    int             // included files that may still be read
	octets   int64           // octets of included files that may still be read
	full     bool            // there are maxTargets, and one more was found
	targets  []string
	discard  bool
	problems []error
}

// name adds the recipients of name.
func (e *expansion) name(name string) {
	k := key(name)
	targets, known := e.table.names[k]
	switch {
	case !known || e.inPath(k):
		e.add(name)
	case !e.seen[k]:
		e.each(k, slices.Values(targets))
	}
}

func (e *expansion) inPath(k string) bool { return slices.Contains(e.path, k) }

// each adds the targets of k, a name or a file.
func (e *expansion) each(k string, targets iter.Seq[string]) {
	if len(e.path) == maxDepth {
		e.fail("%s: more than %d names one behind the other", k, maxDepth)
		return
	}
	e.seen[k] = true
	e.path = append(e.path, k)
	defer func() { e.path = e.path[:len(e.path)-1] }()
	for target := range targets {
		if e.full {
			return
		}
		e.target(k, target)
	}
}

// target adds the recipients of one target of k.
func (e *expansion) target(k, target string) {
	if err := unsupported(target); err != nil {
		e.fail("%s: %w", k, err)
		return
	}
	switch path, isFile := strings.CutPrefix(target, include); {
	case isFile:
		e.include(k, strings.TrimSpace(path))
	case target == devNull:
		e.discard = true
	case target[0] == '\\':
		e.add(target[1:])
	case e.table.localName(target) != "":
		e.name(e.table.localName(target))
	case strings.Contains(target, "@"):
		e.add(target)
	default:
		e.name(target)
	}
}

// include adds the targets in a file, one or several a line.
func (e *expansion) include(k, path string) {
	if !filepath.IsAbs(path) {
		e.fail("%s: %s%s: not an absolute path", k, include, path)
		return
	}
	if e.seen[include+path] {
		return
	}
	text, err := e.read(path)
	if err != nil {
		e.fail("%s: %s: %w", k, include, err)
		return
	}
	e.each(include+path, listed(text))
}

// listed returns the targets in the text of an included file.
func listed(text string) iter.Seq[string] {
	return func(yield func(target string) bool) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			for target := range split(line) {
				if !yield(target) {
					return
				}
			}
		}
	}
}

// read returns the text of an included file, within what may still be read.
func (e *expansion) read(path string) (string, error) {
	if e.files--; e.files < 0 {
		return "", fmt.Errorf("more than %d included files", maxFiles)
	}
	f, err := e.table.open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := readAll(f, e.octets)
	e.octets -= int64(len(text))
	if e.octets < 0 {
		e.octets = 0
	}
	if errors.Is(err, errTooLong) {
		return "", fmt.Errorf("open %s: the included files are longer than 16 MiB", path)
	}
	return text, err
}

func (e *expansion) add(target string) {
	switch {
	case target == "":
	case len(e.targets) < maxTargets:
		e.targets = append(e.targets, target)
	case !e.full:
		e.full = true
		e.fail("more than %d recipients", maxTargets)
	}
}

// fail adds a problem. The last of maxFaults says that there are more.
func (e *expansion) fail(format string, args ...any) {
	switch n := len(e.problems); {
	case n < maxFaults-1:
		e.problems = append(e.problems, fmt.Errorf(format, args...))
	case n == maxFaults-1:
		e.problems = append(e.problems, errors.New("and more"))
	}
}
