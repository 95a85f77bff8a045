package smtpclient

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/unbit/spoolgore/internal/message"
)

// The longest ENVID and ORCPT, in octets (RFC 3461, sections 4.2 and 4.4). Longer parameters are not sent.
const (
	maxEnvID = 100
	maxORcpt = 500
)

// checkAddress checks an address before the address is sent between < and >. The address must not end the path or start
// another command. A backslash outside quotes is invalid (RFC 5321), and relays read such a backslash differently.
func checkAddress(addr string) error {
	if !utf8.ValidString(addr) {
		return fmt.Errorf("%w: %q is not UTF-8", ErrAddress, addr)
	}
	quoted, escaped := false, false
	for _, r := range addr {
		if unicode.IsControl(r) || !quoted && strings.ContainsRune(` <>\`, r) {
			return fmt.Errorf("%w: %q holds %q", ErrAddress, addr, r)
		}
		switch {
		case escaped:
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		}
	}
	if quoted {
		return fmt.Errorf("%w: %q has a quote without end", ErrAddress, addr)
	}
	return nil
}

// checkRecipient is checkAddress for a recipient: an empty address is an error, too.
func checkRecipient(addr string) error {
	if addr == "" {
		return fmt.Errorf("%w: it is empty", ErrAddress)
	}
	return checkAddress(addr)
}

// CheckLocalName returns an error for a name that cannot be sent with EHLO.
func CheckLocalName(name string) error {
	if name == "" || checkAddress(name) != nil {
		return fmt.Errorf("the local name %q is no host name", name)
	}
	return nil
}

func isASCII(s string) bool { return !message.HasUTF8(s) }

// withALabels returns the address with an ASCII domain (RFC 5891). ok is false if the local part is not ASCII, or the
// domain is invalid.
func withALabels(addr string) (ascii string, ok bool) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || !isASCII(addr[:at]) {
		return "", false
	}
	domain, err := idna.Lookup.ToASCII(addr[at+1:])
	if err != nil || checkAddress(domain) != nil {
		return "", false
	}
	return addr[:at+1] + domain, true
}

// xtext encodes a parameter as xtext (RFC 3461, section 4).
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}

// unicodeXtext encodes an address of type utf-8 as ASCII (RFC 6533, section 3).
func unicodeXtext(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > ' ' && r < 0x7f && r != '+' && r != '=' && r != '\\' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}

// originalRecipient returns the value of ORCPT for "type;address", or for an address without a type. originalRecipient
// returns "" if the value is empty or too long.
func originalRecipient(orcpt string) string {
	kind, addr, ok := strings.Cut(orcpt, ";")
	if !ok || !isAddressType(kind) {
		kind, addr = "rfc822", orcpt
	}
	if !isASCII(addr) {
		kind = "utf-8"
	}
	if strings.EqualFold(kind, "utf-8") {
		addr = unicodeXtext(addr)
	} else {
		addr = xtext(addr)
	}
	if orcpt == "" || len(kind)+1+len(addr) > maxORcpt {
		return ""
	}
	return kind + ";" + addr
}

// isAddressType reports whether s is the type of an original recipient, such as "rfc822".
func isAddressType(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// NeedsUTF8 reports whether an address can be sent only to a relay with SMTPUTF8 (RFC 6531).
func NeedsUTF8(addr string) bool {
	if isASCII(addr) {
		return false
	}
	_, ok := withALabels(addr)
	return !ok
}
