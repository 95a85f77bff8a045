package sendmail

import (
	"bytes"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/unbit/spoolgore/internal/message"
)

// Defaults complete the arguments and the message.
type Defaults struct {
	Domain  string                               // of names without one; it must be one
	Login   string                               // name of the user who calls
	Name    string                               // full name of that user; empty: unknown
	Aliases func(name string) (a Alias, ok bool) // what a name without a domain stands for; nil or not ok: itself
	Local   func(domain string) bool             // whether addresses in a domain may be aliases; nil: never
	MaxSize int64                                // of a message, in bytes as it is given; zero: no limit
	MaxTo   int                                  // recipients of a message; zero: no limit
	Now     time.Time                            // from which durations count
}

// An Alias is what a name stands for. Without targets, the mail is discarded, or the recipient is refused.
type Alias struct {
	Targets []string // lists of names and addresses
	Discard bool
}

// Message is a message ready for the spool.
type Message struct {
	Envelope message.Envelope
	// Discarded is set if all recipients are aliases for /dev/null. The message has no envelope, and is to be read and
	// discarded.
	Discarded bool

	Bad    []message.Address // recipients in the envelope that are no addresses: reading the file, each fails alone
	line   []byte
	header []byte
	body   io.Reader

	received []byte // field of Trace
}

// Trace adds a Received field in front of the header. Call Trace before WriteTo.
func (m *Message) Trace(h message.Hop) { m.received = h.Received() }

// WriteTo writes the message for the spool, the envelope line first. It can be called once: it reads the body from the
// given reader. Errors of that reader are ErrInput and ErrTooLarge.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.MultiReader(
		bytes.NewReader(m.line), bytes.NewReader(m.received), bytes.NewReader(m.header), m.body))
}

// internalFields are removed: the daemon would read them as its own.
var internalFields = []string{"Return-Path", "X-Spoolgore-Envelope"}

// New reads the header of the message in r and returns the message for the recipients in c and, with -t, in the
// header. New does not read the body. Errors: [ErrUsage], [ErrData], [ErrInput], [ErrTooLarge].
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

// checkNumber returns an error for more recipients than MaxTo.
func (d Defaults) checkNumber(recipients int) error {
	if d.MaxTo > 0 && recipients > d.MaxTo {
		return fmt.Errorf("%w: %d recipients, more than %d (maxrecipients)", ErrData, recipients, d.MaxTo)
	}
	return nil
}

// Complete is New for a known envelope, as in an SMTP session.
func (d Defaults) Complete(env message.Envelope, r io.Reader) (*Message, error) {
	drafted, err := readDraft(&input{r: r, limit: d.MaxSize}, message.MaxHeader)
	if err != nil {
		return nil, err
	}
	m := &Message{Envelope: env}
	return m, m.finish(drafted, d, d.author(Command{Sender: &env.From}, env.From), false)
}

// finish sets the parts of the message. If envelope line and header together are longer than maxHead, the
// header becomes text, unless recipients were read from the header: some of them may be behind the limit.
func (m *Message) finish(drafted draft, d Defaults, author string, needed bool) (err error) {
	if err := d.checkNumber(len(m.Envelope.To)); err != nil {
		return err
	}
	if m.line, err = m.Envelope.AppendAnyLine(nil); err != nil {
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	m.header, m.body = d.complete(drafted.fields, author), drafted.body
	if len(m.line)+len(m.header) <= maxHead {
		return nil
	}
	if needed {
		return fmt.Errorf("%w: %w", ErrData, message.ErrHeaderTooLong)
	}
	m.header = d.complete(nil, author)
	m.body = io.MultiReader(bytes.NewReader(bytes.Join(drafted.fields, nil)), strings.NewReader("\n"), drafted.body)
	if len(m.line)+len(m.header) > maxHead {
		return fmt.Errorf("%w: too many recipients", ErrData)
	}
	return nil
}

// maxHead is the limit for envelope line and header without the field of Trace.
const maxHead = message.MaxHeader - message.MaxHop

// complete returns the header for the spool, with the blank line. A missing From is added in front, and names without
// a domain in From, Sender, To and Cc get the default domain. Every other byte is kept.
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

// appendField appends the field f to out. In a field with one of these names, names without a domain get the domain.
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

// sender returns the sender of the envelope: the given sender, else the author in the header, else the calling user.
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

// user returns the address of the calling user.
func (d Defaults) user() string {
	for _, addr := range []string{d.Login + "@" + d.Domain, "unknown@" + d.Domain} {
		if message.CheckAddress(addr) == nil {
			return addr
		}
	}
	return "unknown@localhost"
}

// author returns the value of a From field. The full name of the user goes only with the address of the user.
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
	phrase := strings.TrimSuffix((&mail.Address{Name: name, Address: "x@x"}).String(), "<x@x>")
	return phrase + "<" + addr + ">"
}
