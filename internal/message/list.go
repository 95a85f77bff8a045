package message

import (
	"net/mail"
	"strings"
)

// placeholder stands for every '?' while an address list is parsed, so that no encoded word (RFC 2047) is ever decoded:
// in an addr-spec it could bring in anything, line ends and angle brackets included. Without '?' there is none, not even
// after the parser has taken backslashes off. It is no character for use in texts, and allowed in an atom.
const placeholder = "\uFDD0"

// A Parser reads an address list.
type Parser func(list string) ([]*mail.Address, error)

// parseList returns the addresses in the value of an address field. A value that follows RFC 5322 is taken as it
// reads; any other is cut into pieces, each read for itself, so that a bad one fails alone.
//
// The strict parser is net/mail's, the one inside enmime. It is called directly because enmime answers a missing
// comma by putting one at every space after an '@', also in a list like `old@x.org <new@x.org>`, which would then be
// sent to both, and in quoted local parts. The pieces are enmime's in the daemon. A program that only drops messages
// starts in two thirds of the time without it, and reads the same of one piece, as FuzzPieces shows.
func parseList(value string) []Address { return parseListBy(nil, value) }

func parseListBy(parse Parser, value string) []Address {
	if parse == nil {
		parse = mail.ParseAddressList
	}
	value = strings.ToValidUTF8(value, "\uFFFD")
	value = strings.ReplaceAll(value, placeholder, "\uFFFD")
	value = strings.ReplaceAll(value, "?", placeholder)
	var list []Address
	parsed, err := mail.ParseAddressList(value)
	if err != nil {
		return parsePieces(parse, splitList(value))
	}
	for _, p := range parsed {
		addr := restore(requote(p.Address))
		list = append(list, checked(addr, addr))
	}
	return list
}

func restore(s string) string { return strings.ReplaceAll(s, placeholder, "?") }

func parsePieces(parse Parser, pieces []piece) []Address {
	var list []Address
	for _, p := range pieces {
		spec := p.spec()
		if spec == "" && p.open < 0 {
			continue // nothing, or a comment, between two commas
		}
		// What the parser does not know, like an IPv6 literal, is taken as it is: CheckAddress has the last word.
		if parsed, err := parse(spec); err == nil && len(parsed) == 1 {
			spec = requote(parsed[0].Address)
		}
		list = append(list, checked(restore(spec), restore(p.text)))
	}
	return list
}

// piece is the part of an address list that seems to be one mailbox.
type piece struct {
	text string
	open int // offset of the angle bracket, which ends with the piece; -1: there is none
}

// spec returns the addr-spec in p, without comments, angle brackets and source route, and without blanks around the '@'.
func (p piece) spec() string {
	s := strings.Trim(withoutComments(p.text[max(p.open, 0):]), blanks)
	if p.open >= 0 {
		s = strings.Trim(s, "<>"+blanks)
		if colon := strings.IndexByte(s, ':'); colon > 0 && s[0] == '@' {
			s = strings.Trim(s[colon+1:], blanks)
		}
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		s = strings.TrimRight(s[:at], blanks) + "@" + strings.TrimLeft(s[at+1:], blanks)
	}
	return strings.TrimSpace(s) // what else there is of white space, such as a form feed
}

// skipEncodedWord returns the end of the encoded word (RFC 2047) at s[i]; i: there is none. A comma in it is no separator.
func skipEncodedWord(s string, i int) int {
	if !strings.HasPrefix(s[i:], "="+placeholder) {
		return i
	}
	length := strings.Index(s[i:], placeholder+"=")
	parts := strings.Count(s[i:i+max(length, 0)], placeholder)
	if length < 0 || parts != 3 || strings.ContainsAny(s[i:i+length], blanks+"<>\"") {
		return i
	}
	return i + length + len(placeholder) + 1
}

// splitList cuts an address list at ',' and ';', after a closing angle bracket, and at blanks after an addr-spec.
// The name of a group is left out.
func splitList(s string) []piece {
	var (
		pieces []piece
		lex    = lexer{s: s}
		start  = 0
		at     = false // an '@' was seen since start
	)
	cut := func(end, open int) {
		if text := strings.Trim(s[start:end], blanks); text != "" {
			if open >= 0 {
				open -= start + strings.Index(s[start:end], text)
			}
			pieces = append(pieces, piece{text, open})
		}
		at = false
	}
	for i := 0; i < len(s); {
		end := max(lex.skip(i), skipEncodedWord(s, i))
		switch c := s[i]; {
		case c == ',' || c == ';':
			cut(i, -1)
			start = end
		case c == '<' && end > i+1:
			cut(end, i)
			start = end
		case c == ':' && !at:
			start = end
		case c == '@':
			at = true
		case at && strings.IndexByte(blanks, c) >= 0 && s[i-1] != '@' && lex.beginsMailbox(end):
			cut(i, -1)
			start = end
		}
		i = end
	}
	cut(len(s), -1)
	return pieces
}
