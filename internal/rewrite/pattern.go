package rewrite

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"

	"github.com/unbit/spoolgore/internal/message"
)

// A Pair is a pattern of addresses, and an address.
//
// A pattern is an address, "@domain" for all addresses of a domain, "local@*" for a local part in all domains, or "*".
// In place of a domain, "*.domain" stands for all of its subdomains. Of several patterns the most exact one counts: an
// address, a local part, a domain, "*"; of these with a domain, before those with the longest "*.domain", before "*".
// The case of letters does not matter, and a domain is the same in Unicode and in ASCII (RFC 5890).
type Pair struct{ Pattern, Address string }

// patterns is a table with one value for each pattern.
type patterns map[string]string

// add adds a pattern. A second value for the same pattern is an error.
func (p patterns) add(pattern, value string) error {
	key, err := patternKey(pattern)
	if err != nil {
		return err
	}
	if _, twice := p[key]; twice {
		return fmt.Errorf("%s is there twice", pattern)
	}
	p[key] = value
	return nil
}

// patternKey returns the normal form of a pattern.
func patternKey(pattern string) (string, error) {
	at := strings.LastIndexByte(pattern, '@')
	if pattern == "*" || pattern == "@*" || pattern == "*@*" {
		return "@*", nil
	}
	if at < 0 || at == len(pattern)-1 {
		return "", fmt.Errorf(`%q is not an address, "@" and a domain, or "*"`, pattern)
	}
	local, domain := pattern[:at], pattern[at+1:]
	if local == "*" {
		local = ""
	}
	bare := strings.TrimPrefix(domain, "*.")
	if domain == "*" {
		bare = "x"
	}
	checked := local
	if local == "" {
		checked = "x"
	}
	_, err := message.Canonical(checked + "@" + bare)
	if err == nil && strings.Contains(local, "*") && local[0] != '"' {
		err = errors.New(`"*" stands for a whole local part, a whole domain, or all subdomains`)
	}
	if err != nil {
		return "", fmt.Errorf("%q is no pattern: %w", pattern, err)
	}
	return localKey(local) + "@" + domainKey(domain), nil
}

// find returns the value of the most exact pattern that matches the address.
func (p patterns) find(addr string) (value string, ok bool) {
	at := strings.LastIndexByte(addr, '@')
	if len(p) == 0 || at < 0 {
		return "", false
	}
	domain := domainKey(addr[at+1:])
	for _, local := range []string{localKey(addr[:at]), ""} {
		for _, d := range domains(domain) {
			if value, ok = p[local+"@"+d]; ok {
				return value, true
			}
		}
	}
	return "", false
}

// domains returns the keys of domain patterns that match a domain, the most exact one first.
func domains(domain string) []string {
	all := []string{domain}
	for rest := domain; ; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok {
			return append(all, "*")
		}
		all, rest = append(all, "*."+parent), parent
	}
}

// domainKey returns a domain in ASCII and lower case. A domain without a valid ASCII form stays in Unicode.
func domainKey(domain string) string {
	domain = strings.TrimSuffix(domain, ".")
	prefix := ""
	if rest, ok := strings.CutPrefix(domain, "*."); ok {
		prefix, domain = "*.", rest
	}
	if message.HasUTF8(domain) {
		if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
			domain = ascii
		}
	}
	return prefix + strings.ToLower(domain)
}

// ASCIIDomain returns an address, or a pattern of package routing, with the domain in ASCII if the domain has a valid
// ASCII form.
func ASCIIDomain(addr string) string {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || !message.HasUTF8(addr[at:]) {
		return addr
	}
	return addr[:at+1] + domainKey(addr[at+1:])
}

// localKey returns a local part in lower case, without quotes that it does not need.
func localKey(local string) string {
	if n := len(local); n > 2 && local[0] == '"' && local[n-1] == '"' {
		if bare := local[1 : n-1]; message.CheckAddress(bare+"@x") == nil {
			local = bare
		}
	}
	return strings.ToLower(local)
}

// same reports whether two addresses are the same: local parts exactly, domains in any case and form.
func same(a, b string) bool { return addressKey(a) == addressKey(b) }

// addressKey returns an address with the normal form of its domain.
func addressKey(addr string) string {
	at := strings.LastIndexByte(addr, '@') + 1
	return addr[:at] + domainKey(addr[at:])
}
