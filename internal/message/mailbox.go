package message

import (
	"errors"
	"net/mail"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of RFC 5321, section 4.5.3.1, in bytes; maxPath is without the angle brackets.
const (
	maxLocal  = 64
	maxDomain = 255
	maxPath   = 254
)

// CheckAddress reports why addr cannot stand between the angle brackets of a MAIL or RCPT command, or nil if it can: it
// is a mailbox (RFC 5321, section 4.1.2) within the limits of section 4.5.3.1, UTF-8 allowed (RFC 6531), and holds no
// control character. The error says what is wrong, not with which address.
func CheckAddress(addr string) error {
	if err := checkText(addr); err != nil {
		return err
	}
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || at == len(addr)-1 {
		return errors.New("no domain")
	}
	local, domain := addr[:at], addr[at+1:]
	switch {
	case local == "":
		return errors.New("nothing before the @")
	case len(local) > maxLocal:
		return errors.New("part before the @ longer than 64 bytes")
	case len(domain) > maxDomain:
		return errors.New("domain longer than 255 bytes")
	case len(addr) > maxPath:
		return errors.New("address longer than 254 bytes")
	case !isDotAtom(local) && !isQuoted(local):
		return errors.New("part before the @ has a character that is not allowed there")
	case domain[0] == '[' && !isLiteral(domain):
		return errors.New("not an address literal")
	case domain[0] != '[' && !isDomain(domain):
		return errors.New("not a domain name")
	}
	return nil
}

// HasUTF8 reports whether addr has a character outside ASCII, so that a relay needs SMTPUTF8 (RFC 6531) for it.
func HasUTF8(addr string) bool {
	for i := range len(addr) {
		if addr[i] >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// checkText refuses what must be nowhere in a command. U+FFFD stands for bytes lost in reading: whoever it was for is not known any more.
func checkText(s string) error {
	if !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError) {
		return errors.New("not valid UTF-8")
	}
	if strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return errors.New("holds a control character")
	}
	return nil
}

// isDotAtom reports whether s is atoms with single dots between them.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if !isAtom(atom) {
			return false
		}
	}
	return true
}

func isAtom(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`()<>[]:;@\,"`, r)
	}) < 0
}

// isQuoted reports whether s, which holds no control character, is a quoted string.
func isQuoted(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	for inner := s[1 : len(s)-1]; inner != ""; {
		switch {
		case inner[0] == '"', inner == `\`:
			return false
		case inner[0] == '\\':
			inner = inner[1:]
		}
		_, n := utf8.DecodeRuneInString(inner)
		inner = inner[n:]
	}
	return true
}

func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.IndexFunc(label, notInLabel) >= 0 {
			return false
		}
	}
	return true
}

func notInLabel(r rune) bool {
	switch {
	case r >= utf8.RuneSelf:
		return unicode.IsSpace(r)
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		return false
	}
	return true
}

// isLiteral reports whether s is an address literal: [192.0.2.1] or [IPv6:2001:db8::1] (RFC 5321, section 4.1.3).
func isLiteral(s string) bool {
	text, ok := strings.CutSuffix(s[1:], "]")
	if !ok {
		return false
	}
	const tag = "IPv6:"
	if len(text) > len(tag) && strings.EqualFold(text[:len(tag)], tag) {
		ip, err := netip.ParseAddr(text[len(tag):])
		return err == nil && ip.Is6() && ip.Zone() == ""
	}
	ip, err := netip.ParseAddr(text)
	return err == nil && ip.Is4()
}

// requote gives a parsed address the form it has on the wire: the parsers take the quotes off a quoted local part.
func requote(addr string) string {
	s := (&mail.Address{Address: addr}).String()
	return s[1 : len(s)-1]
}

// printable makes text of unknown origin fit for a log line: valid UTF-8, no control characters, at most 200 bytes.
func printable(s string) string {
	const limit = 200
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 2*limit)], "?"))
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}
