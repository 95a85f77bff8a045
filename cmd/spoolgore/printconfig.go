package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/unbit/spoolgore/internal/conf"
)

// printConfig is -printconfig: every setting, and where it stands. No secret is shown.
func printConfig(stdout io.Writer, c *config) {
	show := func(key, value, origin string) { fmt.Fprintf(stdout, "%-16s %s (%s)\n", key, value, origin) }
	if s, ok := c.from["config"]; ok {
		show("config", plain(s.value), s.origin)
	}
	for _, k := range conf.Keys {
		switch s, ok := c.from[k.Name]; {
		case !ok && k.Of&conf.Daemon == 0: // sendmail-spool has files of its own too: sendmail -bP tells
		case !ok:
			show(k.Name, cmp.Or(k.Default, "-"), "default")
		case k.Of&conf.Daemon == 0:
			show(k.Name, plain(s.value), plain(s.origin)+", for sendmail-spool")
		default:
			show(k.Name, shown(k, s.value), plain(s.origin))
		}
	}
	for _, s := range strays(os.Environ()) {
		fmt.Fprintf(stdout, "unknown variable %s: is it %s?\n", plain(s[0]), s[1])
	}
}

// shown is what is to be seen of a value.
func shown(k conf.Key, value string) string {
	switch {
	case k.Secret:
		return "set, not shown"
	case k.Name == "smtpaddr": // a password before an "@" is a mistake, and is there all the same
		parts := strings.Split(value, ",")
		for i, part := range parts {
			if at := strings.LastIndexByte(part, '@'); at >= 0 {
				parts[i] = "***" + part[at:]
			}
		}
		value = strings.Join(parts, ",")
	case value == "":
		return `""`
	}
	return plain(value)
}

// plain makes text fit for a terminal: it is quoted if there is more in it than can be seen.
func plain(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
