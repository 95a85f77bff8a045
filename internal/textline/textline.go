// Package textline makes text of unknown origin fit for one line of a log, a reply, a report or a terminal.
package textline

import (
	"strings"
	"unicode"
)

// Of returns s as one line of valid UTF-8, with a space for each tab, LF, VT, FF and CR, and a question mark for each
// other control character, line separator, character that changes the direction of the text, and invalid byte. A line
// of more than limit bytes is cut between two characters; zero: no limit.
func Of(s string, limit int) string {
	if limit > 0 && len(s) > 2*limit {
		s = s[:2*limit]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= '\t' && r <= '\r':
			return ' '
		case unicode.IsControl(r), unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if limit > 0 && len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}
