package message

import "strings"

// What a program needs that completes a message before it comes into the spool: the same reading of lines and addresses,
// with every byte in its place.

// FieldName returns the name of the field that a line of a header, with or without its end, begins, as it is written;
// empty: it begins none, and so it goes on with the field before it if it begins with a blank.
func FieldName(line []byte) string {
	line = clean(line)
	return string(line[:fieldName(line)])
}

// EndsHeader reports whether the line, with its end, is the blank one behind a header.
func EndsHeader(line []byte) bool { return isBlank(line) }

// ParseList returns the addresses in the value of an address field, or in anything else that lists them. A bad one fails
// alone, with its Err.
func ParseList(list string) []Address { return parseList(list) }

// specials are the characters that end an atom, blanks besides.
const specials = `()<>[]:;@\,"`

// Qualify puts "@domain" behind every mailbox in an address list that is nothing but a local part, as in
// "root, Cron <root>, root (Cron Daemon)". All else stays byte for byte, the line ends of a folded field as well.
func Qualify(list, domain string) string {
	q := qualifier{list: list, suffix: "@" + domain}
	q.lexer.s = strings.NewReplacer("\r", " ", "\n", " ").Replace(list)
	for i := 0; i < len(q.lexer.s); {
		i = q.step(i)
	}
	q.endMailbox()
	q.out.WriteString(list[q.copied:])
	return q.out.String()
}

// qualifier is on its way through an address list.
type qualifier struct {
	lexer      lexer
	list       string
	suffix     string
	out        strings.Builder
	copied     int  // how much of list is in out
	start, end int  // the last word of the mailbox that is being read
	words      int  // of it
	more       bool // there is more to it than words and comments
}

// step takes what begins at offset i, and returns the offset behind it.
func (q *qualifier) step(i int) int {
	s := q.lexer.s
	end := q.lexer.skip(i)
	whole := end > i+1 // of what begins with a bracket, the end was found
	switch c := s[i]; {
	case c == ',' || c == ';':
		q.endMailbox()
	case c == '<' && whole:
		q.qualify(i+1+len(s[i+1:end])-len(strings.TrimLeft(s[i+1:end], "<"+blanks)), len(strings.TrimRight(s[:end], ">"+blanks)))
		q.words, q.more = 0, false
	case c == ':' && !q.more: // the name of a group
		q.words = 0
	case c == '(' && whole || strings.IndexByte(blanks, c) >= 0:
	case c == '"' && whole:
		q.words, q.start, q.end = q.words+1, i, end
	case strings.IndexByte(specials, c) >= 0:
		q.more = true
	default:
		if n := strings.IndexAny(s[i:], specials+blanks); n >= 0 {
			end = i + n
		} else {
			end = len(s)
		}
		q.words, q.start, q.end = q.words+1, i, end
	}
	return end
}

// endMailbox qualifies the mailbox that ends here if it is one word.
func (q *qualifier) endMailbox() {
	if q.words == 1 && !q.more {
		q.qualify(q.start, q.end)
	}
	q.words, q.more = 0, false
}

// qualify puts the domain at the offset end if what is there from start on is a local part. An encoded word is part of a
// name that somebody has cut at a comma.
func (q *qualifier) qualify(start, end int) {
	if start >= end || CheckAddress(q.lexer.s[start:end]+"@x") != nil {
		return
	}
	if word := q.lexer.s[start:end]; strings.HasPrefix(word, "=?") || strings.HasSuffix(word, "?=") {
		return
	}
	q.out.WriteString(q.list[q.copied:end])
	q.out.WriteString(q.suffix)
	q.copied = end
}
