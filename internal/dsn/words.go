package dsn

import (
	"strings"
	"unicode/utf8"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/textline"
)

const (
	goodLine = 78  // maximum octets of a line with several words (RFC 5322, section 2.1.1)
	maxWord  = 900 // maximum octets of a word; a line of one word stays below 998 octets
)

// clean makes text of unknown origin one line, with single blanks between words and no blanks at the ends.
func clean(s string) string { return strings.Join(strings.Fields(textline.Of(s, 0)), " ") }

// toASCII replaces every character that is not ASCII by a question mark.
func toASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, s)
}

func isASCII(s string) bool { return !message.HasUTF8(s) }

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

// isHost reports whether s can be the host in an address: a name, or an address literal.
func isHost(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789-._[]:"
	return s != "" && len(s) <= 255 && strings.Trim(strings.ToLower(s), allowed) == ""
}

// words returns the words of s. A word of more than maxWord octets is split.
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

// appendWrapped appends the clean text s, with start before the first line and indent before the others. Only a line of
// a single word is longer than goodLine.
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
