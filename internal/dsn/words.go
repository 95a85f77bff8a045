package dsn

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	goodLine = 78  // octets of a line, where that is possible (RFC 5322, section 2.1.1)
	maxWord  = 900 // octets that are never exceeded without a blank, so that a line has less than 998 with what is around it
)

// clean makes text of unknown origin fit for one line: valid UTF-8, no control characters and nothing else that ends a
// line, single blanks and none at the ends.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.In(r, unicode.Zl, unicode.Zp):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

// toASCII puts a question mark in place of every other character.
func toASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, s)
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// cut shortens s to at most n octets, between two characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// isHost reports whether s can stand for a host in an address: a name, or an address literal.
func isHost(s string) bool {
	return s != "" && len(s) <= 255 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-._[]:") == ""
}

// words returns the words of s. What has no blank for maxWord octets is parted.
func words(s string) (list []string) {
	for _, w := range strings.Fields(s) {
		for len(w) > maxWord {
			n := maxWord
			for !utf8.RuneStart(w[n]) {
				n--
			}
			list, w = append(list, w[:n]), w[n:]
		}
		list = append(list, w)
	}
	return list
}

// appendWrapped appends s, which is clean, with the first line behind start and the others behind indent. A line is longer
// than goodLine only if it has a single word.
func appendWrapped(b []byte, start, indent, s string) []byte {
	b = append(b, start...)
	length, first := len(start), true
	for _, w := range words(s) {
		switch {
		case first:
		case length+1+len(w) > goodLine:
			b = append(append(b, "\r\n"...), indent...)
			length = len(indent)
		default:
			b = append(b, ' ')
			length++
		}
		b = append(b, w...)
		length += len(w)
		first = false
	}
	return append(b, "\r\n"...)
}

// appendField appends a header field.
func appendField(b []byte, name, value string) []byte {
	return appendWrapped(b, name+": ", " ", value)
}
