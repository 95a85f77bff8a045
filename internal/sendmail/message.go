package sendmail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/unbit/spoolgore/internal/message"
)

// Defaults is what the arguments and the message leave open.
type Defaults struct {
	Domain  string                               // of names without one; it must be one
	Login   string                               // name of the user who calls
	Name    string                               // full name of that user; empty: unknown
	Aliases func(name string) (a Alias, ok bool) // what a name without a domain stands for; nil or not ok: itself
	Local   func(domain string) bool             // whether names in a domain may be aliases; nil: only those in localhost
	MaxSize int64                                // of a message, in bytes as it is given; zero: no limit
	Now     time.Time                            // from which durations count
}

// An Alias is what a name stands for. Without targets, the mail is discarded, or the recipient is refused.
type Alias struct {
	Targets []string // lists of names and addresses
	Discard bool
}

// Message is one that is ready for the spool.
type Message struct {
	Envelope message.Envelope
	// Discarded is set if all recipients are aliases for /dev/null. The message has no envelope, and is to be read and discarded.
	Discarded bool

	Bad    []message.Address // recipients in the envelope that are no addresses: reading the file, each fails alone
	line   []byte
	header []byte
	body   io.Reader
}

// WriteTo writes the message as it is to be in the spool, the envelope line first. It can be called once: the body comes
// from the reader as it is needed. Errors of that are ErrInput and ErrTooLarge.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.MultiReader(bytes.NewReader(m.line), bytes.NewReader(m.header), m.body))
}

// internalFields are taken out: they would be on the way out, but until then they could be taken for ours.
var internalFields = []string{"Return-Path", "X-Spoolgore-Envelope"}

// New reads the header of the message in r and returns the message that c makes of it, for the recipients in c and, if
// c says so, those in the header. The body has not been read then. Errors: [ErrUsage], [ErrData], [ErrInput], [ErrTooLarge].
func New(c Command, d Defaults, r io.Reader) (*Message, error) {
	in := &input{r: r, limit: d.MaxSize}
	drafted, err := readDraft(in, message.MaxHeader)
	if err != nil {
		return nil, err
	}
	list, err := parseOperands(c.Operands)
	if err != nil {
		return nil, err
	}
	var a message.Addresses
	if c.Header || c.Sender == nil {
		a, err = drafted.addresses()
	}
	if c.Header {
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrData, err)
		}
		list = slices.Concat(list, a.To, a.Cc, a.Bcc)
	}
	env := message.Envelope{Ret: c.Ret, EnvID: c.EnvID}
	c.Schedule(&env, d.Now)
	if env.From, err = d.sender(c, a); err != nil {
		return nil, err
	}
	to := d.recipients(list)
	switch {
	case len(to) == 0 && len(list) > 0:
		return &Message{Discarded: true, body: in}, nil
	case len(to) == 0 && c.Header:
		return nil, fmt.Errorf("%w: no recipient, neither in the header nor in the arguments", ErrData)
	case len(to) == 0:
		return nil, fmt.Errorf("%w: no recipient", ErrUsage)
	}
	m := &Message{}
	for _, a := range to {
		env.To = append(env.To, a.Addr)
		if c.Notify != "" {
			env.Notify = append(env.Notify, c.Notify)
		}
		if a.Err != nil {
			m.Bad = append(m.Bad, a)
		}
	}
	if len(m.Bad) == len(to) {
		return nil, fmt.Errorf("%w: recipient %q: %w", ErrData, to[0].Addr, to[0].Err)
	}
	m.Envelope = env
	return m, m.finish(drafted, d, d.author(c, env.From), c.Header)
}

// Complete is New where sender and recipients are known, as in an SMTP session: they are taken as they are.
func (d Defaults) Complete(env message.Envelope, r io.Reader) (*Message, error) {
	drafted, err := readDraft(&input{r: r, limit: d.MaxSize}, message.MaxHeader)
	if err != nil {
		return nil, err
	}
	m := &Message{Envelope: env}
	return m, m.finish(drafted, d, d.author(Command{Sender: &env.From}, env.From), false)
}

// finish puts the message together. Where envelope and header are too long for whoever reads the file the header becomes
// text, unless recipients were taken from it: not all of them may have been seen.
func (m *Message) finish(drafted draft, d Defaults, author string, needed bool) (err error) {
	if m.line, err = m.Envelope.AppendAnyLine(nil); err != nil {
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	m.header, m.body = d.complete(drafted.fields, author), drafted.body
	if len(m.line)+len(m.header) <= message.MaxHeader {
		return nil
	}
	if needed {
		return fmt.Errorf("%w: %w", ErrData, message.ErrHeaderTooLong)
	}
	m.header = d.complete(nil, author)
	m.body = io.MultiReader(bytes.NewReader(bytes.Join(drafted.fields, nil)), strings.NewReader("\n"), drafted.body)
	if len(m.line)+len(m.header) > message.MaxHeader {
		return fmt.Errorf("%w: too many recipients", ErrData)
	}
	return nil
}

// complete returns the header that is written, with the blank line behind it: a From is put in front if there is none, and
// names without a domain in From, Sender, To and Cc get one. Every other byte is as it was given.
func (d Defaults) complete(fields [][]byte, author string) []byte {
	var out []byte
	if !slices.ContainsFunc(fields, func(f []byte) bool { return strings.EqualFold(message.FieldName(f), "From") }) {
		out = append(out, "From: "+author+"\n"...)
	}
	for _, f := range fields {
		out = appendField(out, f, d.Domain, "From", "Sender", "To", "Cc")
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	return append(out, '\n')
}

// appendField appends the field f, with the domain put to names without one if it is one of these fields.
func appendField(out, f []byte, domain string, names ...string) []byte {
	name := message.FieldName(f)
	if slices.ContainsFunc(internalFields, func(n string) bool { return strings.EqualFold(n, name) }) {
		return out
	}
	if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
		return append(out, f...)
	}
	colon := bytes.IndexByte(f, ':') + 1
	value := string(f[colon:])
	// In "Doe, John <john@x.org>" the name lacks its quotes: an author is one person.
	author := !strings.EqualFold(name, "To") && !strings.EqualFold(name, "Cc")
	if !author || !slices.ContainsFunc(message.ParseList(value), func(a message.Address) bool { return a.Err == nil }) {
		value = message.Qualify(value, domain)
	}
	return append(append(out, f[:colon]...), value...)
}

// bare is the domain of names without one while addresses are read, so that these can be told from all others. It is no
// character for use in texts.
const bare = "\uFDD1"

// addresses returns the addresses in a header as the package reads them everywhere, names without a domain in the
// domain bare.
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

// parseOperand reads one operand. In an operand of several lines each line must hold addresses and nothing else: a line
// end in front of other text is an attempt to add a command or a field. Tabs count as blanks; every other control character
// is refused.
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
			return nil, fmt.Errorf("%w: recipient \"%s\": a line that is not a list of addresses", ErrData, printable(operand))
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

// Resolved is one recipient and who gets the mail in the end.
type Resolved struct {
	Given string            // as it was given, without the default domain
	To    []message.Address // itself, or who it is an alias for
}

// Resolve reads a list of addresses, such as an operand, and puts aliases and the default domain in place of names without
// a domain.
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

// localName returns the name in an address that is looked up: any in localhost, and an alias in another local domain.
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

// expand returns the addresses that a name without a domain stands for. There are none if its mail is discarded.
func (d Defaults) expand(name string) (list []message.Address) {
	targets := []string{name}
	if d.Aliases != nil {
		if alias, ok := d.Aliases(name); ok {
			targets = alias.Targets
			if len(targets) == 0 && !alias.Discard {
				return []message.Address{{Addr: name, Err: errUnsupported}}
			}
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
	return list
}

var errUnsupported = errors.New("an alias without an address: commands and files are not supported")

// recipients returns who gets the mail, each once: local parts are compared exactly, domains in any case of letters.
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

// absolute gives the default domain to a name without one.
func (d Defaults) absolute(addr string) string {
	return strings.ReplaceAll(addr, "@"+bare, "@"+d.Domain)
}

// sender is that of the envelope: the one that was given, else the author in the header, else the user who calls.
func (d Defaults) sender(c Command, a message.Addresses) (string, error) {
	if c.Sender != nil {
		given := strings.TrimSpace(*c.Sender)
		if given == "" || given == "<>" {
			return "", nil
		}
		if strings.IndexFunc(given, unicode.IsControl) >= 0 {
			return "", fmt.Errorf("%w: sender \"%s\": holds a control character", ErrData, printable(given))
		}
		list := parseList(given)
		if len(list) == 0 {
			return "", fmt.Errorf("%w: sender %q: no address", ErrData, given)
		}
		if list[0].Err != nil {
			return "", fmt.Errorf("%w: sender %q: %w", ErrData, list[0].Addr, list[0].Err)
		}
		return d.absolute(list[0].Addr), nil
	}
	if a.FromErr == nil && a.From != "" {
		return d.absolute(a.From), nil
	}
	return d.user(), nil
}

// user is the address of the user who calls.
func (d Defaults) user() string {
	for _, addr := range []string{d.Login + "@" + d.Domain, "unknown@" + d.Domain} {
		if message.CheckAddress(addr) == nil {
			return addr
		}
	}
	return "unknown@localhost"
}

// author is the value of a From field. The full name of the user is that of no other address.
func (d Defaults) author(c Command, from string) string {
	name, addr := c.FullName, from
	if addr == "" || c.Sender == nil {
		addr = d.user()
	}
	if name == "" && addr == d.user() {
		name = d.Name
	}
	const longest = 200
	name = strings.ToValidUTF8(name[:min(len(name), longest)], "")
	if name == "" {
		return addr
	}
	phrase, _, _ := strings.Cut((&mail.Address{Name: name, Address: "x@x"}).String(), "<x@x>")
	return phrase + "<" + addr + ">"
}
