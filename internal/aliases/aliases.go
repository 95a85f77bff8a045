// Package aliases reads a file in the syntax of /etc/aliases and returns the recipients of a name. A target /dev/null
// discards the mail. Commands and other files are not supported: mail is for addresses.
package aliases

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	include    = ":include:"
	devNull    = "/dev/null"
	maxSize    = 16 << 20 // of a file, and of all included files of a name together
	maxFiles   = 1000     // maximum included files of a name
	maxDepth   = 50       // maximum names between a name and an address
	maxTargets = 100_000  // maximum targets of a name
	maxFaults  = 20       // maximum problems of a name
)

// Table is the content of a file.
type Table struct {
	Local func(domain string) bool // whether names in a domain, as root@localhost, are looked up; nil: never

	names    map[string][]string // in lower case
	Problems []error             // invalid lines, which are ignored
	open     func(path string) (io.ReadCloser, error)
}

// Load reads the file at path or, for a symbolic link, the target: /etc/aliases is a link on some systems.
func Load(path string) (*Table, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Parse(f, path)
}

// Parse reads r, which is called name in problems:
//
//	name: target, target   # more in lines that begin with a blank
//
// A target is a name, an address, :include:/path of a file with targets, /dev/null, or \name for a name that is not
// looked up again. Of two lines with the same name the first counts.
func Parse(r io.Reader, name string) (*Table, error) {
	text, err := readAll(r, maxSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t := &Table{names: map[string][]string{}, open: open}
	entry, start, n := "", 0, 0
	for line := range strings.Lines(text) {
		n++
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "" || trimmed[0] == '#':
		case strings.IndexByte(" \t", line[0]) >= 0 && entry != "":
			entry += " " + trimmed
		default:
			t.add(entry, name, start)
			entry, start = trimmed, n
		}
	}
	t.add(entry, name, start)
	return t, nil
}

// open opens a regular file. A symbolic link is an error, as the owner of an included file could lead the reader
// anywhere, and so is a FIFO, on which open would wait.
func open(path string) (io.ReadCloser, error) { return spooldir.OpenRead(path) }

// readAll returns the text of r, which has at most limit octets.
func readAll(r io.Reader, limit int64) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = errTooLong
	}
	return string(text), err
}

var errTooLong = errors.New("longer than 16 MiB")

// add adds an entry: a line with its continuation lines.
func (t *Table) add(entry, file string, line int) {
	if entry == "" {
		return
	}
	colon := index(entry, ":")
	if colon < 0 {
		t.Problems = append(t.Problems, fmt.Errorf("%s, line %d: no colon behind a name", file, line))
		return
	}
	name, targets := key(entry[:colon]), slices.Collect(split(entry[colon+1:]))
	_, twice := t.names[name]
	switch {
	case name == "":
		t.Problems = append(t.Problems, fmt.Errorf("%s, line %d: no name before the colon", file, line))
	case twice:
		t.Problems = append(t.Problems, fmt.Errorf("%s, line %d: second entry for %s", file, line, name))
	case len(targets) == 0:
		t.Problems = append(t.Problems, fmt.Errorf("%s, line %d: %s has no recipients", file, line, name))
	default:
		t.names[name] = targets
	}
	for _, target := range targets {
		if err := unsupported(target); err != nil {
			t.Problems = append(t.Problems, fmt.Errorf("%s, line %d: %s: %w", file, line, name, err))
		}
	}
}

// unsupported returns why a target is not supported; nil: the target is supported.
func unsupported(target string) error {
	name, literal := strings.CutPrefix(target, `\`)
	switch {
	case target == devNull:
	case strings.HasPrefix(name, "|"):
		return errors.New("a command is not supported as a recipient")
	case strings.HasPrefix(name, "/"):
		return errors.New("a file is not supported as a recipient")
	case literal && strings.HasPrefix(name, include):
		return fmt.Errorf("%s: the backslash before %s is wrong", target, include)
	}
	return nil
}

// key returns the form of a name for lookups.
func key(name string) string { return strings.ToLower(unquote(strings.TrimSpace(name))) }

// index returns the offset of the first of these bytes outside of quotes, or -1.
func index(s, bytes string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(bytes, s[i]) >= 0:
			return i
		}
	}
	return -1
}

// split cuts a list of targets at its commas, and at a comment.
func split(list string) iter.Seq[string] {
	if i := index(list, "#"); i > 0 && strings.IndexByte(" \t", list[i-1]) >= 0 {
		list = list[:i]
	}
	return func(yield func(target string) bool) {
		for rest, more := list, true; more; {
			target := rest
			i := index(rest, ",")
			if more = i >= 0; more {
				target, rest = rest[:i], rest[i+1:]
			}
			if target = unquote(strings.TrimSpace(target)); target != "" && !yield(target) {
				return
			}
		}
	}
}

// unquote removes quotes around the whole of s. Quotes in an address stay.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || index(s[1:len(s)-1], "\x00") >= 0 {
		return s
	}
	if strings.IndexByte(s[1:len(s)-1], '"') >= 0 {
		return s
	}
	return s[1 : len(s)-1]
}

// Expand returns the final names and addresses of name. No targets: the name is no alias, or its mail is discarded. In
// a loop a name expands to itself. The problems are the ignored targets.
func (t *Table) Expand(name string) (targets []string, problems []error) {
	a, _ := t.Lookup(name)
	return a.Targets, a.Problems
}

// An Alias is the result of a lookup.
type Alias struct {
	Targets  []string // names and addresses
	Discard  bool     // /dev/null is among the targets
	Problems []error  // ignored targets
}

// Lookup returns the final recipients of name; ok is false if name is no alias.
func (t *Table) Lookup(name string) (a Alias, ok bool) {
	if _, ok = t.names[key(name)]; !ok {
		return a, false
	}
	e := expansion{table: t, seen: map[string]bool{}, files: maxFiles, octets: maxSize}
	e.name(name)
	return Alias{e.targets, e.discard, e.problems}, true
}

// localName returns the alias in an address of a local domain; empty: the address is no alias.
func (t *Table) localName(addr string) string {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || t.Local == nil || !t.Local(addr[at+1:]) {
		return ""
	}
	if _, ok := t.names[key(addr[:at])]; !ok {
		return ""
	}
	return addr[:at]
}
