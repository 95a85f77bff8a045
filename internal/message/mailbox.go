package message

import (
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/unbit/spoolgore/internal/textline"
)

// The limits of RFC 5321, section 4.5.3.1, in bytes; maxPath is without the angle brackets.
const (
	maxLocal  = 64
	maxDomain = 255
	maxPath   = 254
)

// Canonical returns addr as it stands between the angle brackets of a MAIL or RCPT command. A local part with dots in
// unusual places, such as ann..b or ann., gets quotes. The final dot of a domain is dropped. The error is that of
// [CheckAddress].
func Canonical(addr string) (string, error) {
	err := CheckAddress(addr)
	if err == nil {
		return addr, nil
	}
	at := strings.LastIndexByte(addr, '@')
	if at <= 0 {
		return addr, err
	}
	local, domain := addr[:at], strings.TrimSuffix(addr[at+1:], ".")
	if !isDotAtom(local) && isAtom(strings.ReplaceAll(local, ".", "x")) {
		local = `"` + local + `"`
	}
	addr = local + "@" + domain
	return addr, CheckAddress(addr)
}

// CheckAddress returns nil if addr is a valid path of a MAIL or RCPT command, without the angle brackets: a mailbox
// (RFC 5321, section 4.1.2) within the limits of section 4.5.3.1, UTF-8 allowed (RFC 6531), without control and format
// characters. The error does not name the address.
func CheckAddress(addr string) error {
	if err := checkText(addr); err != nil {
		return err
	}
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || at == len(addr)-1 || isQuoted(addr) {
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

// checkText refuses characters that are invalid everywhere in a command. U+FFFD stands for lost bytes. Format
// characters and unusual spaces are invisible: they come from copied text, and a person sees another address.
func checkText(s string) error {
	if HasUTF8(s) && (!utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError)) {
		return errors.New("not valid UTF-8")
	}
	for _, r := range s {
		switch {
		case ' ' <= r && r <= '~':
		case unicode.IsControl(r):
			return errors.New("holds a control character")
		case unicode.In(r, unicode.Cf, unicode.Z) || r == '＠' || r == '﹫':
			return fmt.Errorf("holds %s", invisible(r))
		}
	}
	return nil
}

// invisible returns the name of a format character or of a space.
func invisible(r rune) string {
	if name := invisibleNames[r]; name != "" {
		return fmt.Sprintf("U+%04X (%s)", r, name)
	}
	if unicode.Is(unicode.Z, r) {
		return fmt.Sprintf("U+%04X (a space)", r)
	}
	return fmt.Sprintf("U+%04X (a format character)", r)
}

var invisibleNames = map[rune]string{
	0x00A0: "no-break space", 0x00AD: "soft hyphen", 0x061C: "Arabic letter mark", 0x180E: "Mongolian vowel separator",
	0x200B: "zero width space", 0x200C: "zero width non-joiner", 0x200D: "zero width joiner",
	0x200E: "left-to-right mark", 0x200F: "right-to-left mark", 0x2028: "line separator", 0x2029: "paragraph separator",
	0x202A: "left-to-right embedding", 0x202B: "right-to-left embedding", 0x202C: "pop directional formatting",
	0x202D: "left-to-right override", 0x202E: "right-to-left override", 0x202F: "narrow no-break space",
	0x2060: "word joiner", 0x2066: "left-to-right isolate", 0x2067: "right-to-left isolate",
	0x2068: "first strong isolate", 0x2069: "pop directional isolate", 0x3000: "ideographic space",
	0xFEFF: "zero width no-break space", 0xFE6B: "small commercial at", 0xFF20: "fullwidth commercial at",
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

// isQuoted reports whether s, a text without control characters, is a quoted string.
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
		// quotes and brackets
		return unicode.IsSpace(r) || unicode.In(r, unicode.Pi, unicode.Pf, unicode.Ps, unicode.Pe)
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

// Requote puts a local part in quotes again where SMTP needs them: the parsers remove quotes.
func Requote(addr string) string {
	s := (&mail.Address{Address: addr}).String()
	return s[1 : len(s)-1]
}

// printable makes text of unknown origin fit for a log line, with at most 200 bytes. In an address each control
// character is shown as a question mark, also a line end.
func printable(s string) string {
	const limit = 200
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 2*limit)], "?"))
	return textline.Of(s, limit)
}
