package message

import (
	"net/mail"
	"slices"
	"strings"
	"unicode/utf8"
)

// placeholder replaces every '?' while an address list is parsed, so that no encoded word (RFC 2047) is decoded: in an
// addr-spec an encoded word could hold anything, such as line ends and angle brackets. The placeholder is no character
// for use in texts, and allowed in an atom.
const placeholder = "\uFDD0"

// A Parser reads an address list, such as the value of a To field.
type Parser func(list string) ([]*mail.Address, error)

// parseList is parseListBy with net/mail's parser.
func parseList(value string) []Address { return parseListBy(nil, value) }

// parseListBy returns the addresses in the value of an address field. The whole value is offered to parse first; nil:
// net/mail.ParseAddressList. The result of parse counts if the value follows RFC 5322, or if it says the same as the
// pieces of the value do. Otherwise each piece is read alone, so that a bad one fails alone.
//
// The second condition is for enmime.ParseAddressList: in a value without a comma it puts a comma behind each address,
// so that `old@x.org <new@x.org>` becomes two recipients, and `"a  b"@x.org` two others.
func parseListBy(parse Parser, value string) []Address {
	value = hide(value)
	strict := parse == nil
	if strict {
		parse = mail.ParseAddressList
	}
	parsed, err := parse(value)
	if err == nil && len(parsed) == 1 && parsed[0].Address == value && isPlain(value) {
		return []Address{checked(value, value)} // the common case takes little memory
	}
	pieces := splitList(value)
	if err != nil || !strict && !agree(parsed, pieces) && !isStrict(value) {
		return parsePieces(parse, pieces, true)
	}
	var list []Address
	for _, p := range parsed {
		addr := restore(Requote(p.Address))
		list = append(list, checked(addr, addr))
	}
	return list
}

func isStrict(value string) bool {
	_, err := mail.ParseAddressList(value)
	return err == nil
}

// isPlain reports whether s is one address of letters, digits and a few signs: a list of one piece, and nothing to
// quote.
func isPlain(s string) bool {
	at, word := -1, false // the offset of the '@'; the byte before is no separator
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '+':
			word = true
			continue
		case !word, c == '@' && at >= 0, c != '@' && c != '.':
			return false
		case c == '@':
			at = i
		}
		word = false
	}
	return at > 0 && word
}

// agree reports whether parsed and pieces are the same addresses in the same order.
func agree(parsed []*mail.Address, pieces []piece) bool {
	n := 0
	for _, p := range pieces {
		if p.empty() {
			continue
		}
		if n == len(parsed) || p.spec() != Requote(parsed[n].Address) {
			return false
		}
		n++
	}
	return n == len(parsed)
}

// hide prepares a list for a parser: valid UTF-8, and placeholder for '?'.
func hide(s string) string {
	s = strings.ToValidUTF8(hideBytes(s), "\uFFFD")
	s = strings.ReplaceAll(s, placeholder, "\uFFFD")
	return strings.ReplaceAll(s, "?", placeholder)
}

// hidden replaces a byte of text in an encoding whose bytes look like brackets and quotes. It is not valid in UTF-8.
const hidden = '\xff'

// hideBytes hides text in ISO-2022-JP and the like, and backslashes that are a part of a character. Every other byte
// stays in its place.
func hideBytes(s string) string {
	if strings.IndexByte(s, '\x1b') >= 0 || strings.IndexByte(s, '\x0e') >= 0 {
		s = hideShifted(s)
	}
	if strings.IndexByte(s, '\\') >= 0 && !utf8.ValidString(s) {
		s = hideEscapes(s)
	}
	return s
}

func restore(s string) string { return strings.ReplaceAll(s, placeholder, "?") }

// hideShifted hides the text of ISO-2022-JP, -KR and -CN: the bytes from an escape sequence up to the one that switches
// back to ASCII, and those from SO to SI. Such text holds no blanks; a blank ends it too.
func hideShifted(s string) string {
	b := []byte(s)
	shifted := false
	for i := 0; i < len(s); {
		n, ascii := escapeSequence(s[i:])
		switch {
		case n > 0:
			shifted = !ascii
		case s[i] == '\x0e':
			n, shifted = 1, true
		case s[i] == '\x0f':
			n, shifted = 1, false
		case s[i] == ' ' || s[i] == '\t':
			shifted = false
		case shifted:
			n = 1
		}
		for j := i; j < i+n; j++ {
			b[j] = hidden
		}
		i += max(n, 1)
	}
	return string(b)
}

// escapeSequence returns the length of the escape sequence of ISO 2022 that s begins with, 0 if there is none, and
// whether ASCII follows it.
func escapeSequence(s string) (n int, ascii bool) {
	if len(s) < 3 || s[0] != '\x1b' || strings.IndexByte("$()*", s[1]) < 0 {
		return 0, false
	}
	n = 2
	if s[1] == '$' && strings.IndexByte("()*", s[2]) >= 0 {
		n = 3
	}
	if n == len(s) || s[n] < '0' || s[n] > '~' {
		return 0, false
	}
	return n + 1, s[1] == '(' && (s[2] == 'B' || s[2] == 'J') || s[1] == '$' && s[2] == ')' // SO comes later
}

// hideEscapes hides a backslash that is the second byte of a character, as in Shift_JIS, GBK and Big5: it escapes no
// quote.
func hideEscapes(s string) string {
	b := []byte(s)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 && i+1 < len(s) && s[i+1] == '\\' {
			b[i+1] = hidden
			n = 2
		}
		i += n
	}
	return string(b)
}

// parsePieces reads each piece alone. If quoted is set, a piece may be an address in quotes.
func parsePieces(parse Parser, pieces []piece, quoted bool) []Address {
	var list []Address
	for _, p := range pieces {
		if p.empty() {
			continue
		}
		spec := p.spec()
		if quoted && isQuoted(spec) {
			addr, empty := addressInQuotes(parse, unquote(spec))
			if empty {
				continue // such as "undisclosed-recipients:;"
			}
			if addr != "" {
				list = append(list, Address{Addr: addr})
				continue
			}
		}
		// CheckAddress judges what the parser does not know, such as an IPv6 literal.
		if parsed, err := parse(spec); err == nil && len(parsed) == 1 {
			spec = Requote(parsed[0].Address)
		}
		list = append(list, checked(restore(spec), restore(p.text)))
	}
	return list
}

// addressInQuotes returns the address that a program has put in quotes as a whole: `"ann@x.org"`, or with its name,
// `"Doe, Ann <ann@x.org>"`. The address is empty if there is none, or more than one. empty reports a group without
// members.
func addressInQuotes(parse Parser, text string) (addr string, empty bool) {
	pieces := slices.DeleteFunc(splitList(text), piece.empty)
	if n := len(pieces); n > 1 && pieces[n-1].open >= 0 &&
		!slices.ContainsFunc(pieces[:n-1], func(p piece) bool { return strings.Contains(p.text, "@") }) {
		pieces = pieces[n-1:] // a comma in the name
	}
	if list := parsePieces(parse, pieces, false); len(list) == 1 && list[0].Err == nil {
		addr = list[0].Addr
	}
	return addr, len(pieces) == 0 && strings.Contains(text, ":")
}

// piece is the part of an address list that seems to be one mailbox.
type piece struct {
	text string
	at   int // offset in the list
	open int // offset in text of the angle bracket, which ends with the piece; -1: there is none
}

// empty reports whether p holds no mailbox: a comment, or brackets, between two commas.
func (p piece) empty() bool { return p.open < 0 && strings.Trim(p.spec(), "<>;:") == "" }

// spec returns the addr-spec in p, without comments, angle brackets and source route, and without blanks around the
// '@'.
func (p piece) spec() string {
	s := strings.Trim(withoutComments(p.text[max(p.open, 0):]), blanks)
	if p.open >= 0 {
		s = strings.Trim(s, "<>"+blanks)
		const mailto = "mailto:"
		if colon := strings.IndexByte(s, ':'); colon > 0 && s[0] == '@' {
			s = strings.Trim(s[colon+1:], blanks)
		} else if len(s) > len(mailto) && strings.EqualFold(s[:len(mailto)], mailto) {
			s = s[len(mailto):]
		}
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		s = strings.TrimRight(s[:at], blanks) + "@" + strings.TrimLeft(s[at+1:], blanks)
	}
	return strings.TrimSpace(s) // other white space, such as a form feed
}

// skipEncodedWord returns the end of the encoded word (RFC 2047) at s[i]; i: there is none. mark stands for '?' in s. A
// comma in an encoded word is no separator.
func skipEncodedWord(s string, i int, mark string) int {
	if !strings.HasPrefix(s[i:], "="+mark) {
		return i
	}
	length := strings.Index(s[i:], mark+"=")
	parts := strings.Count(s[i:i+max(length, 0)], mark)
	if length < 0 || parts != 3 || strings.ContainsAny(s[i:i+length], blanks+"<>\"") {
		return i
	}
	return i + length + len(mark) + 1
}

// splitter cuts an address list into pieces.
type splitter struct {
	lexer  lexer
	mark   string // stands for '?'
	pieces []piece
	start  int  // of the piece that is being read
	at     bool // an '@' was seen since start
	ahead  span // where to the next look for an angle bracket went
}

// span is the part of a list in which an angle bracket was looked for.
type span struct {
	end   int // of the part
	angle int // offset of the first angle bracket; -1: there is none
}

// splitList cuts an address list at ',' and ';', after a closing angle bracket, and at blanks between addr-specs. An
// angle bracket ends a piece together with all words before it, as they are its display name. The name of a group is
// left out.
func splitList(s string) []piece { return splitListBy(s, placeholder) }

// splitListBy is splitList for a list in which mark stands for '?'.
func splitListBy(s, mark string) []piece {
	p := splitter{lexer: lexer{s: s}, mark: mark, ahead: span{end: -1}}
	names := separatedBySemicolons(s, mark)
	for i := 0; i < len(s); {
		end := max(p.lexer.skip(i), skipEncodedWord(s, i, mark))
		switch c := s[i]; {
		case c == ',' && names && !p.at && p.angleAhead(end):
			// the comma in "Doe, John <john@x.org>; Roe, Jane <jane@x.org>"
		case c == ',' || c == ';':
			p.cut(i, -1)
			p.start = end
		case c == '<' && end > i+1:
			p.cut(end, i)
			p.start = end
		case c == ':' && !p.at:
			p.start = end
		case c == '@':
			p.at = true
		case p.at && strings.IndexByte(blanks, c) >= 0 && s[i-1] != '@' &&
			p.lexer.beginsMailbox(end) && !p.angleAhead(end):
			p.cut(i, -1)
			p.start = end
		}
		i = end
	}
	p.cut(len(s), -1)
	return p.pieces
}

// cut ends the piece that is being read.
func (p *splitter) cut(end, open int) {
	s := p.lexer.s
	if text := strings.TrimLeft(s[p.start:end], blanks); text != "" {
		at := end - len(text)
		if open >= 0 {
			open -= at
		}
		p.pieces = append(p.pieces, piece{strings.TrimRight(text, blanks), at, open})
	}
	p.at = false
}

// angleAhead reports whether an angle bracket follows at offset i or later, before the next separator.
func (p *splitter) angleAhead(i int) bool {
	if i >= p.ahead.end || p.ahead.angle >= 0 && i > p.ahead.angle {
		p.ahead = span{angle: -1}
		for p.ahead.end = i; p.ahead.end < len(p.lexer.s); {
			at := p.ahead.end
			end := max(p.lexer.skip(at), skipEncodedWord(p.lexer.s, at, p.mark))
			if c := p.lexer.s[at]; c == ',' || c == ';' {
				break
			} else if c == '<' && end > at+1 {
				p.ahead.angle = at
				break
			}
			p.ahead.end = end
		}
		p.ahead.end = max(p.ahead.end, p.ahead.angle) + 1
	}
	return p.ahead.angle >= i
}

// separatedBySemicolons reports whether semicolons separate the mailboxes of a list, as Outlook writes it. Commas may
// be part of names then. A semicolon that ends a group does not count.
func separatedBySemicolons(s, mark string) bool {
	if strings.IndexByte(s, ';') < 0 || strings.IndexByte(s, ',') < 0 {
		return false
	}
	lex := lexer{s: s}
	for i := 0; i < len(s); {
		end := max(lex.skip(i), skipEncodedWord(s, i, mark))
		switch s[i] {
		case ':':
			return false
		case ';':
			return true
		}
		i = end
	}
	return false
}

// unquote returns the text in a quoted string.
func unquote(s string) string {
	inner := s[1 : len(s)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	text := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) {
			i++
		}
		text = append(text, inner[i])
	}
	return string(slices.Clip(text))
}
