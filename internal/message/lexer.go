package message

import "strings"

// brackets are the characters at the start of a token of an address list: quoted string, comment, literal, angle
// address.
const brackets = `"([<`

// lexer steps through an address list. A bracket that is never closed is an ordinary character. The lexer remembers the
// end of each search for a closing bracket, so that a list of brackets does not take quadratic time.
type lexer struct {
	s      string
	looked [len(brackets)]int // offset before which no bracket of this kind is closed
}

// skip returns the end of the token at offset i: a quoted string, a comment, a domain literal, an address in angle
// brackets, a run of blanks, or a single byte.
func (l *lexer) skip(i int) int {
	if strings.IndexByte(blanks, l.s[i]) >= 0 {
		return len(l.s) - len(strings.TrimLeft(l.s[i:], blanks))
	}
	kind := strings.IndexByte(brackets, l.s[i])
	if kind < 0 || i < l.looked[kind] {
		return i + 1
	}
	var end int
	var closed bool
	switch l.s[i] {
	case '"':
		end, closed = l.quoted(i)
	case '(':
		end, closed = l.comment(i)
	case '[':
		end, closed = l.literal(i)
	case '<':
		end, closed = l.angle(i)
	}
	if !closed {
		l.looked[kind] = end
		return i + 1
	}
	return end
}

func (l *lexer) quoted(i int) (end int, closed bool) {
	for i++; i < len(l.s); i++ {
		switch l.s[i] {
		case '\\':
			i++
		case '"':
			return i + 1, true
		}
	}
	return len(l.s), false
}

func (l *lexer) comment(i int) (end int, closed bool) {
	for depth := 0; i < len(l.s); i++ {
		switch l.s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(l.s), false
}

// literal ends at the closing bracket. The domain literal behind an '@' may hold anything; elsewhere a separator ends
// it unclosed.
func (l *lexer) literal(i int) (end int, closed bool) {
	stops := `],;[<"`
	if strings.HasSuffix(strings.TrimRight(l.s[:i], blanks), "@") {
		stops = `][`
	}
	n := strings.IndexAny(l.s[i+1:], stops)
	if n < 0 {
		return len(l.s), false
	}
	end = i + 1 + n
	return end + 1, l.s[end] == ']'
}

// angle returns the end of an angle address, behind all its closing brackets. A separator outside of a source route
// (`<@a,@b:c@d>`, RFC 5321, appendix C) ends the address unclosed, so that a lost bracket spoils a single address.
func (l *lexer) angle(i int) (end int, closed bool) {
	route := strings.HasPrefix(strings.TrimLeft(l.s[i+1:], blanks), "@")
	for i++; i < len(l.s); {
		switch c := l.s[i]; {
		case c == '>':
			return len(l.s) - len(strings.TrimLeft(l.s[i:], ">")), true
		case c == ';' || c == ',' && !route:
			return i, false
		case c == ':':
			route = false
		}
		if l.s[i] == '<' {
			i++
		} else {
			i = l.skip(i)
		}
	}
	return len(l.s), false
}

// beginsMailbox reports whether a new mailbox may begin at offset i.
func (l *lexer) beginsMailbox(i int) bool {
	return i < len(l.s) && strings.IndexByte("@.<(,;:", l.s[i]) < 0
}

// withoutComments puts a space in place of every comment.
func withoutComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var b strings.Builder
	lex := lexer{s: s}
	for i := 0; i < len(s); {
		end := i + 1
		if s[i] != '<' { // look into angle brackets
			end = lex.skip(i)
		}
		if s[i] == '(' && end > i+1 {
			b.WriteByte(' ')
		} else {
			b.WriteString(s[i:end])
		}
		i = end
	}
	return b.String()
}
