package message

import "strings"

// FieldName returns the name of the field that begins on a line of a header, as it is written. The line may have its
// end. The name is empty if the line begins no field.
func FieldName(line []byte) string {
	line = clean(line)
	return string(line[:fieldName(line)])
}

// EndsHeader reports whether the line, with its end, is the blank line that ends a header.
func EndsHeader(line []byte) bool { return isBlank(line) }

// IsContinuation reports whether the line continues the field above it.
func IsContinuation(line []byte) bool { return isContinuation(clean(line)) }

// ParseList returns the addresses in the value of an address field, or in any other list. A bad address fails alone,
// with its Err.
func ParseList(list string) []Address { return parseList(list) }

// specials are the characters that end an atom, besides blanks.
const specials = `()<>[]:;@\,"`

// Qualify appends "@domain" to every mailbox of an address list that is only a local part, as in
// "root, Cron <root>, root (Cron Daemon)", and the domain to "root@". Every other byte stays, also the line ends of a
// folded field.
func Qualify(list, domain string) string {
	s := hideBytes(strings.NewReplacer("\r", " ", "\n", " ").Replace(list))
	var b strings.Builder
	copied := 0
	for _, p := range splitListBy(s, "?") {
		end, added := p.unqualified()
		if end == 0 {
			continue
		}
		b.WriteString(list[copied : p.at+end])
		b.WriteString(added + domain)
		copied = p.at + end
	}
	b.WriteString(list[copied:])
	return b.String()
}

// unqualified returns the offset in p at which a domain is missing, and the characters that are missing before it. The
// offset is 0 if no domain is missing.
func (p piece) unqualified() (end int, added string) {
	start, end := p.word()
	word := p.text[start:end]
	switch {
	case word == "" || strings.HasPrefix(word, "=?") || strings.HasSuffix(word, "?="):
		return 0, "" // a part of a name that was cut at a comma
	case isQuoted(word) && strings.ContainsAny(word, "@<:"):
		return 0, "" // an address in quotes
	}
	if local, found := strings.CutSuffix(word, "@"); found {
		word = strings.TrimRight(local, blanks)
	} else {
		added = "@"
	}
	if _, err := Canonical(word + "@x"); err != nil {
		return 0, ""
	}
	return end, added
}

// word returns the place of the local part in p: the text in the angle brackets or, without brackets, the only word,
// with the '@' behind it. The place is empty if there is more than that, besides comments.
func (p piece) word() (start, end int) {
	if p.open >= 0 {
		inner := p.text[p.open:]
		start = len(inner) - len(strings.TrimLeft(inner, "<"+blanks))
		end = len(strings.TrimRight(inner, ">"+blanks))
		return p.open + start, p.open + max(start, end)
	}
	lex := lexer{s: p.text}
	at := false
	for i := 0; i < len(p.text); {
		next := lex.skip(i)
		switch c := p.text[i]; {
		case c == '(' && next > i+1 || strings.IndexByte(blanks, c) >= 0:
			i = next
			continue
		case c == '@' && end > 0 && !at:
			at, end = true, next
		case end > 0 || c != '"' && strings.IndexByte(specials, c) >= 0:
			return 0, 0
		case c == '"':
			start, end = i, next
		default:
			next = len(p.text)
			if n := strings.IndexAny(p.text[i:], specials+blanks); n >= 0 {
				next = i + n
			}
			start, end = i, next
		}
		i = next
	}
	return start, end
}
