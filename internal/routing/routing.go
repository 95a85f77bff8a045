// Package routing decides the route of a message, by its sender or by its recipient. No other package does.
package routing

import (
	"errors"
	"strings"
)

// ToPrefix begins a pattern for recipients, as "to:@example.com".
const ToPrefix = "to:"

// IsTo reports whether a pattern is for recipients.
func IsTo(pattern string) bool {
	return len(pattern) >= len(ToPrefix) && strings.EqualFold(pattern[:len(ToPrefix)], ToPrefix)
}

// By returns a function that returns the route of a sender as an index of patterns: the route for the address, else for
// the domain ("@example.com"), else for "*", else len(patterns), the route of all other mail. The case of letters does
// not matter. An empty pattern is no route, and patterns for recipients do not count.
func By(patterns []string) func(sender string) int {
	of := make(map[string]int, len(patterns))
	for i, pattern := range patterns {
		if !IsTo(pattern) {
			of[strings.ToLower(pattern)] = i
		}
	}
	return func(sender string) int {
		sender = strings.ToLower(sender)
		for _, key := range []string{sender, domain(sender), "*"} {
			if i, ok := of[key]; ok && key != "" {
				return i
			}
		}
		return len(patterns)
	}
}

// To returns a function that returns the route of a recipient that a pattern "to:b@example.com" or "to:@example.com"
// names, as an index of patterns. ok is false for all other recipients, which take the route of the sender. To returns
// nil if no pattern is for recipients.
func To(patterns []string) func(recipient string) (route int, ok bool) {
	of := make(map[string]int)
	for i, pattern := range patterns {
		if IsTo(pattern) {
			of[strings.ToLower(pattern[len(ToPrefix):])] = i
		}
	}
	if len(of) == 0 {
		return nil
	}
	return func(recipient string) (route int, ok bool) {
		recipient = strings.ToLower(recipient)
		if route, ok = of[recipient]; !ok {
			route, ok = of[domain(recipient)]
		}
		return route, ok
	}
}

// domain returns "@" and the domain of an address; without a domain, the address.
func domain(addr string) string { return addr[max(0, strings.LastIndexByte(addr, '@')):] }

// Check returns an error if a pattern is not an address, "@" and a domain, "*", or "to:" and one of the first two.
func Check(pattern string) error {
	whose, addr := "sender", pattern
	if IsTo(pattern) {
		whose, addr = "recipient", pattern[len(ToPrefix):]
	} else if pattern == "*" {
		return nil
	}
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || at == len(addr)-1 {
		if whose == "recipient" {
			return errors.New(`behind "to:" there is no address, and no "@" and a domain`)
		}
		return errors.New(`the sender is not an address, "@" and a domain, or "*"`)
	}
	local, host := addr[:at], addr[at+1:]
	quoted := len(local) > 1 && strings.HasPrefix(local, `"`) && strings.HasSuffix(local, `"`)
	switch {
	case quoted && !strings.ContainsAny(host, "*,<>"):
	case strings.ContainsRune(addr, '*') && whose == "sender":
		return errors.New(`a sender with "*" is "*" alone; all of a domain are "@" and the domain`)
	case strings.ContainsRune(addr, '*'):
		return errors.New(`a recipient cannot have a "*"; all of a domain are "to:@" and the domain`)
	case strings.ContainsAny(addr, ",<>"):
		return errors.New("the " + whose + " is not one address, as it stands in an envelope")
	case strings.ContainsAny(local, `@:;"()\`) || strings.ContainsAny(strings.Trim(local, "."), " \t"):
		return errors.New("the " + whose + " is not an address: " + quoteHint)
	}
	return checkHost(whose, host)
}

const quoteHint = `before the last "@" there is a character that an address has only in quotes`

// checkHost checks the domain of a pattern.
func checkHost(whose, host string) error {
	literal := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if !literal && (strings.ContainsAny(host, `:;"()[]\/=%!`) || strings.HasPrefix(host, ".") ||
		strings.Contains(host, "..") || strings.HasPrefix(host, "-")) {
		return errors.New("the " + whose + ` has no domain behind the "@"`)
	}
	return nil
}

// Sender returns the address whose route a message takes: the sender or, after the null sender, the first recipient. So
// a report takes the route of the message in question.
func Sender(from, first string) string {
	if from == "" {
		return first
	}
	return from
}
