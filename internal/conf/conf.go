// Package conf reads configuration files of "key value" lines. The daemon and sendmail-spool read the same file, each
// for its own keys. The keys are the names of flags of the daemon.
package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxSize is more than any configuration has.
const maxSize = 1 << 20

// A Setting is one line of a file.
type Setting struct {
	Key   string
	Value string // empty: there is only the key
	Line  int    // from 1
}

// Read reads the file at path. Errors are those of the system, and those of Parse with the path in front.
func Read(path string) ([]Setting, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	settings, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return settings, nil
}

// Parse reads lines: a key, blanks, and a value up to the end of the line, including blanks. Empty lines and lines that
// begin with '#' are ignored. A later '#' is part of the value, because a password may have one.
func Parse(r io.Reader) ([]Setting, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSize {
		return nil, errors.New("longer than 1 MiB")
	}
	var settings []Setting
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\uFEFF")) { // of an editor on Windows
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.IndexByte(line, 0) >= 0 {
			return nil, fmt.Errorf("line %d: this is no text", n)
		}
		key, value := line, ""
		if i := strings.IndexAny(line, " \t"); i >= 0 {
			key, value = line[:i], strings.TrimSpace(line[i:])
		}
		settings = append(settings, Setting{Key: key, Value: value, Line: n})
	}
	return settings, nil
}

// Check reports the first unknown key, with its line and the most similar known key, or the first line with = between
// key and value. The text after = or : in a line like "smtppassword=x" is not shown, because it may be a password.
func Check(settings []Setting, known []string) error {
	for _, s := range settings {
		if slices.Contains(known, s.Key) {
			if s.Value == "=" || strings.HasPrefix(s.Value, "= ") {
				return fmt.Errorf("line %d: there is no = between %s and its value", s.Line, s.Key)
			}
			continue
		}
		key := s.Key
		if i := strings.IndexAny(key, "=:"); i >= 0 && i < len(key)-1 {
			key = key[:i]
			if slices.Contains(known, key) {
				return fmt.Errorf("line %d: blanks go between %s and its value", s.Line, key)
			}
		}
		if text := ours(key); text != "" {
			return fmt.Errorf("line %d: unknown key %q%s", s.Line, key, text)
		}
		if near := Nearest(key, known); near != "" {
			return fmt.Errorf("line %d: unknown key %q: is it %s?", s.Line, key, near)
		}
		return fmt.Errorf("line %d: unknown key %q", s.Line, key)
	}
	return nil
}

// ours returns the key that has the meaning of a key of msmtp, nullmailer, dma, ssmtp or Postfix; empty: not known.
func ours(key string) string {
	name := ""
	switch strings.ToLower(key) {
	case "host", "port", "smarthost", "mailhub", "relayhost", "remotes":
		name = "smtpaddr, such as mail.example.com:587"
	case "user", "authuser":
		name = "smtpuser"
	case "password", "authpass", "passwordeval":
		name = "smtppasswordfile"
	case "auth", "authmethod":
		name = "smtpauth"
	case "tls", "usetls", "usestarttls", "tls_starttls":
		name = "smtptls"
	case "maildomain", "rewritedomain", "masquerade", "myorigin":
		name = "senders"
	default:
		return ""
	}
	return "; the key here is " + name
}

// Nearest returns the known key that is most similar to key; empty if none is.
func Nearest(key string, known []string) string {
	key = strings.ToLower(strings.Trim(key, "-:="))
	near, best := "", max(1, len(key)/3)+1
	for _, k := range known {
		if d := distance(key, k); d < best {
			near, best = k, d
		}
	}
	return near
}

// distance returns how many letters must be inserted, removed, replaced, or swapped with their neighbour, to make b of
// a.
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
