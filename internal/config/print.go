package config

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

// Print is -printconfig: it writes every setting and its source, but no secret.
func Print(stdout io.Writer, c *Config) {
	show := func(key, value, origin string) { fmt.Fprintf(stdout, "%-16s %s (%s)\n", key, value, origin) }
	if s, ok := c.From["config"]; ok {
		show("config", plain(s.Value), s.Origin)
	}
	for _, k := range conf.Keys {
		switch s, ok := c.From[k.Name]; {
		case !ok && k.Of&conf.Daemon == 0: // sendmail-spool reads other files, too: sendmail -bP
		case !ok:
			show(k.Name, cmp.Or(k.Default, "-"), "default")
		case k.Of&conf.Daemon == 0:
			show(k.Name, plain(s.Value), plain(s.Origin)+", for sendmail-spool")
		default:
			show(k.Name, shown(k, s.Value), plain(s.Origin))
		}
	}
	for _, x := range c.Conflicts() {
		fmt.Fprintf(stdout, "%s contradicts %s: %s\n", x.Setting, x.Other, x.Effect)
	}
	for _, s := range UnknownVariables(os.Environ()) {
		fmt.Fprintf(stdout, "unknown variable %s: is it %s?\n", plain(s[0]), s[1])
	}
}

// shown returns a value for people.
func shown(k conf.Key, value string) string {
	switch {
	case k.Secret:
		return "set, not shown"
	case k.Name == "smtpaddr": // hides a password before an "@", which is a mistake; it may have commas
		if at := strings.LastIndexByte(value, '@'); at >= 0 {
			value = "***" + value[at:]
		}
	case k.Name == "smtpproxy":
		if at := strings.LastIndexByte(value, '@'); at >= 0 {
			scheme, _, _ := strings.Cut(value, "://")
			value = scheme + "://***" + value[at:]
		}
	case value == "" && (k.Default == "false" || k.Default == "true"): // a switch alone is on
		return "true"
	case value == "":
		return `""`
	}
	return plain(value)
}

// plain returns text for a terminal. Text with unprintable characters is quoted.
func plain(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
