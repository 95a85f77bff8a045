package sendmail

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/unbit/spoolgore/internal/message"
)

// bare is the domain of names without a domain while addresses are parsed, to tell these names apart. The character is
// not for use in texts.
const bare = "\uFDD1"

// addresses returns the addresses in the header; names without a domain are in the domain bare.
func (m draft) addresses() (message.Addresses, error) {
	if m.long {
		return message.Addresses{}, message.ErrHeaderTooLong
	}
	text := []byte("X:\n") // no top block: only the header says who gets the message
	for _, f := range m.fields {
		f = bytes.ReplaceAll(f, []byte(bare), []byte("\uFFFD"))
		text = appendField(text, f, bare, "From", "Sender", "To", "Cc", "Bcc",
			"Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Bcc")
	}
	text = append(text, "\n\n"...)
	h, err := message.ReadHeader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return message.Addresses{}, err
	}
	return h.Addresses(), nil
}

// parseList reads a list of addresses, names without a domain in the domain bare.
func parseList(list string) []message.Address {
	list = strings.ReplaceAll(list, bare, "\uFFFD")
	return message.ParseList(message.Qualify(list, bare))
}

// parseOperands reads operands. Each is a list of addresses, or holds such a list on each line.
func parseOperands(operands []string) (list []message.Address, err error) {
	for _, operand := range operands {
		found, err := parseOperand(operand)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// parseOperand reads one operand. In an operand of several lines each line must be a list of addresses: a line end
// before other text is an attempt to add a command or a field. Tabs are blanks; every other control character is
// refused.
func parseOperand(operand string) (list []message.Address, err error) {
	lines := strings.Split(strings.ReplaceAll(operand, "\r\n", "\n"), "\n")
	for _, line := range lines {
		if strings.IndexFunc(strings.ReplaceAll(line, "\t", " "), unicode.IsControl) >= 0 {
			return nil, fmt.Errorf("%w: recipient \"%s\": holds a control character", ErrData, printable(operand))
		}
		found := parseList(line)
		bad := func(a message.Address) bool { return a.Err != nil }
		if len(lines) > 1 && strings.TrimSpace(line) != "" &&
			(len(found) == 0 || slices.ContainsFunc(found, bad) || hasColon(line)) {
			return nil, fmt.Errorf("%w: recipient \"%s\": a line that is not a list of addresses",
				ErrData, printable(operand))
		}
		list = append(list, found...)
	}
	return list, nil
}

// hasColon reports whether there is a colon in a list, outside of quotes and domain literals.
func hasColon(list string) bool {
	var end byte // of the quotes or brackets; 0: outside
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\':
			i++
		case end != 0:
			if c == end {
				end = 0
			}
		case c == '"':
			end = '"'
		case c == '[':
			end = ']'
		case c == ':':
			return true
		}
	}
	return false
}

// Resolved is a recipient and the final recipients.
type Resolved struct {
	Given string            // as it was given, without the default domain
	To    []message.Address // itself, or who it is an alias for
}

// Resolve reads a list of addresses, such as an operand, and puts aliases and the default domain in place of names
// without a domain.
func (d Defaults) Resolve(list string) ([]Resolved, error) {
	addresses, err := parseOperand(list)
	return d.resolve(addresses), err
}

func (d Defaults) resolve(list []message.Address) []Resolved {
	var all []Resolved
	for _, a := range list {
		name, isBare := strings.CutSuffix(a.Addr, "@"+bare)
		r := Resolved{Given: strings.ReplaceAll(a.Addr, "@"+bare, "")}
		if !isBare && a.Err == nil {
			name, isBare = d.localName(a.Addr)
		}
		if isBare && a.Err == nil {
			r.To = d.expand(name)
		} else {
			r.To = []message.Address{{Addr: r.Given, Err: a.Err}}
		}
		all = append(all, r)
	}
	return all
}

// localName returns the name in a local address: any name in localhost, and an alias in another local domain.
func (d Defaults) localName(addr string) (name string, ok bool) {
	at := strings.LastIndexByte(addr, '@')
	name, domain := addr[:at], addr[at+1:]
	if isLocalhost(domain) {
		return name, true
	}
	if d.Local == nil || d.Aliases == nil || !d.Local(domain) {
		return "", false
	}
	_, ok = d.Aliases(name)
	return name, ok
}

func isLocalhost(domain string) bool {
	return strings.EqualFold(domain, "localhost") || strings.EqualFold(domain, "localhost.localdomain")
}

// expand returns the addresses of a name without a domain. The list is empty if mail for the name is discarded.
func (d Defaults) expand(name string) (list []message.Address) {
	targets, discard := []string{name}, false
	if d.Aliases != nil {
		if alias, ok := d.Aliases(name); ok {
			targets, discard = alias.Targets, alias.Discard
		}
	}
	for _, target := range targets {
		for _, a := range parseList(target) {
			if at := strings.LastIndexByte(a.Addr, '@'); a.Err == nil && isLocalhost(a.Addr[at+1:]) {
				a.Addr = a.Addr[:at+1] + bare
			}
			list = append(list, message.Address{Addr: d.absolute(a.Addr), Err: a.Err})
		}
	}
	if len(list) == 0 && !discard { // also an empty group, such as "undisclosed-recipients:;"
		list = []message.Address{{Addr: name, Err: errUnsupported}}
	}
	return list
}

var errUnsupported = errors.New("an alias without an address: commands and files are not supported")

// recipients returns the final recipients, each once: local parts are compared exactly, domains in any case of
// letters.
func (d Defaults) recipients(list []message.Address) (to []message.Address) {
	seen := make(map[string]bool, len(list))
	for _, r := range d.resolve(list) {
		for _, a := range r.To {
			at := strings.LastIndexByte(a.Addr, '@') + 1
			if key := a.Addr[:at] + strings.ToLower(a.Addr[at:]); !seen[key] {
				seen[key] = true
				to = append(to, a)
			}
		}
	}
	return to
}

// absolute adds the default domain to a name without a domain.
func (d Defaults) absolute(addr string) string {
	return strings.ReplaceAll(addr, "@"+bare, "@"+d.Domain)
}
