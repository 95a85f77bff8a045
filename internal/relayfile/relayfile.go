// Package relayfile reads the relays file of the daemon: the relays for each sender, with their TLS and AUTH settings.
//
//	# SENDER        RELAYS                               key=value ...
//	ann@example.com smtp.example.net:587                 user=ann passwordfile=ann.password
//	@example.com    mail.example.com:465,10.0.0.2:25     user=app passwordcmd="pass show mail"
//	to:@corp.test   lmtp://127.0.0.1:24
//	*               127.0.0.1:25
package relayfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/unbit/spoolgore/internal/credential"
	"github.com/unbit/spoolgore/internal/routing"
)

// maxSize is the maximum size of a relays file in bytes.
const maxSize = 1 << 20

// Route is one line of the file.
type Route struct {
	Line     int    // line number, from 1
	Sender   string // "ann@example.com", "@example.com", "*", "to:bob@example.com" or "to:@example.com"
	Relays   string // in order of preference, separated by commas
	Settings Settings
}

// Read reads the file. exposed means that the file holds a password and that every user of the host may read it. An
// error names the file and, for a wrong line, the line number; no error shows a possible secret.
func Read(path string) (routes []Route, exposed bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, false, err
	}
	if len(text) > maxSize {
		return nil, false, fmt.Errorf("%s is larger than %d bytes", path, maxSize)
	}
	if routes, err = Parse(path, string(text)); err != nil {
		return nil, false, err
	}
	hasPassword := func(r Route) bool { return r.Settings.Password != "" }
	return routes, credential.Exposed(info) && slices.ContainsFunc(routes, hasPassword), nil
}

// Parse parses the text of the file called name. Each line is a sender, relays, and settings:
//
//   - The sender is an address, "@" and a domain, or "*" for all others. A sender has at most one line.
//   - A setting is key=value. A value with spaces goes in double quotes, in which \" is a quote and \\ a backslash. Any
//     other backslash is itself. The keys are the names of the fields of Settings in lower case; token=yes.
//   - File names are relative to the directory of the relays file.
//   - A word that begins with # begins a comment. Empty lines are ignored.
//
// An error is "FILE:LINE: reason".
func Parse(name, text string) (routes []Route, err error) {
	lines := make(map[string]int)
	number := 0
	text = strings.TrimPrefix(text, "\uFEFF") // of an editor on Windows
	for line := range strings.Lines(text) {
		number++
		r, err := parseLine(strings.TrimRight(line, "\r\n"), filepath.Dir(name))
		if err == nil && r.Sender == "" {
			continue
		}
		key := strings.ToLower(r.Sender)
		if first := lines[key]; err == nil && first > 0 {
			err = fmt.Errorf("the sender has a line already, line %d", first)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		r.Line, lines[key] = number, number
		routes = append(routes, r)
	}
	return routes, nil
}

// parseLine parses a line of a file in dir. The sender is empty for an empty line and a comment.
func parseLine(line, dir string) (r Route, err error) {
	words, err := split(line)
	if err != nil || len(words) == 0 {
		return r, err
	}
	if err := routing.Check(words[0]); err != nil {
		return r, err
	}
	if len(words) == 1 {
		return r, errors.New("want SENDER RELAYS [key=value ...], there are no relays")
	}
	r.Sender, r.Relays = words[0], words[1]
	if key, _, ok := strings.Cut(r.Relays, "="); ok && slices.Contains(keys(), key) {
		return r, errors.New("want SENDER RELAYS [key=value ...], there is a setting where the relays should be")
	}
	seen := make(map[string]bool)
	for i, word := range words[2:] {
		if err := r.Settings.set(word, dir, seen); err != nil {
			return r, fmt.Errorf("setting %d: %w", i+1, err)
		}
	}
	if r.Settings.NeedsPassword() && !r.Settings.HasPassword() {
		return r, errors.New("user without password, passwordfile, passwordcmd or oauth")
	}
	return r, r.Settings.Check("")
}

// split splits a line into words. A quote at the start of a word or of its value extends the word to the closing quote.
// The quotes stay in the word.
func split(line string) (words []string, err error) {
	if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
		return nil, errors.New("there is a control character in the line")
	}
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			return words, nil
		}
		n := 0
		for value := false; n < len(line) && line[n] != ' ' && line[n] != '\t'; n++ {
			begins := n == 0 || !value && line[n-1] == '='
			value = value || n > 0 && line[n-1] == '='
			if line[n] == '"' && begins {
				end := closing(line[n+1:])
				if end < 0 {
					return nil, errors.New("a quote is not closed")
				}
				n += 1 + end
			}
		}
		words, line = append(words, line[:n]), line[n:]
	}
}

// closing returns the index in s of the quote that ends a quoted text, where s begins after the opening quote; negative
// if there is none.
func closing(s string) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
	}
	return -1
}

// unquote removes the quotes of a quoted value.
func unquote(value string) (string, error) {
	if !strings.HasPrefix(value, `"`) {
		return value, nil
	}
	end := closing(value[1:])
	if end != len(value)-2 {
		return "", errors.New("text follows the closing quote")
	}
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(value[1 : 1+end]), nil
}
