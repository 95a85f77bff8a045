package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Envelope is the envelope of a message. It overrides the header. The first line of the file holds it as JSON,
// "X-Spoolgore-Envelope: {...}", and is never sent.
type Envelope struct {
	From string   `json:"from"` // reverse-path without angle brackets; empty: the null sender
	To   []string `json:"to"`   // forward-paths without angle brackets

	// Ret is "FULL" or "HDRS" (RFC 3461, section 4.3); empty: no wish.
	Ret string `json:"ret,omitempty"`
	// EnvID is the envelope identifier in plain text, not xtext (RFC 3461, section 4.4); empty: none.
	EnvID string `json:"envid,omitempty"`
	// Notify[i] belongs to To[i]: "NEVER", or a comma list of SUCCESS, FAILURE, DELAY (RFC 3461, section 4.1). Empty or
	// missing: no wish.
	Notify []string `json:"notify,omitempty"`
	// ORcpt[i] belongs to To[i]: "rfc822;addr" in plain text (RFC 3461, section 4.2). Empty or missing: none.
	ORcpt []string `json:"orcpt,omitempty"`

	NotBefore time.Time `json:"notBefore,omitzero"` // not sent before; zero: at once
	Expire    time.Time `json:"expire,omitzero"`    // given up after; zero: no limit of its own
	Priority  int       `json:"priority,omitempty"` // higher goes first; zero: usual mail

	// ID is the sender's own id of the message, at most 200 octets without control characters; empty: none.
	ID string `json:"id,omitempty"`

	// UID is the user id of a program that sent the message over a socket, in decimal; empty: the owner of the file. It
	// counts only in a file of the daemon's own user.
	UID string `json:"uid,omitempty"`
}

// AddressError says which address of an envelope is invalid.
type AddressError struct {
	Address string
	Index   int // of the recipient in To; negative: the sender
	Err     error
}

// Error returns the address and the reason.
func (e *AddressError) Error() string {
	role := "recipient"
	if e.Index < 0 {
		role = "sender"
	}
	return fmt.Sprintf("%s %q: %v", role, printable(e.Address), e.Err)
}

// Unwrap returns the reason.
func (e *AddressError) Unwrap() error { return e.Err }

// Errors of AppendLine. Every error of AppendLine is an ErrEnvelope.
var (
	ErrEnvelope    = errors.New("envelope")
	ErrNoRecipient = errors.New("no recipient")
)

// AppendLine appends the envelope line, with its line end, to b. The addresses in the line are canonical. AppendLine
// fails, and returns b as it was, if there is no recipient, if [Canonical] refuses an address (an empty From is
// valid), if a request for delivery reports does not follow RFC 3461, or if the line is longer than [MaxHeader]
// ([ErrHeaderTooLong]).
func (e Envelope) AppendLine(b []byte) ([]byte, error) {
	for i, to := range e.To {
		if _, err := Canonical(to); err != nil {
			return b, fmt.Errorf("%w: %w", ErrEnvelope, &AddressError{to, i, err})
		}
	}
	return e.AppendAnyLine(b)
}

// AppendAnyLine is AppendLine for recipients of which some may be invalid. It is for programs that must not lose a
// message because of one recipient: each invalid one fails alone when the file is read, and the sender gets a report.
func (e Envelope) AppendAnyLine(b []byte) ([]byte, error) {
	if len(e.To) == 0 {
		return b, fmt.Errorf("%w: %w", ErrEnvelope, ErrNoRecipient)
	}
	if e.From != "" {
		if _, err := Canonical(e.From); err != nil {
			return b, fmt.Errorf("%w: %w", ErrEnvelope, &AddressError{e.From, -1, err})
		}
	}
	e.To = slices.Clone(e.To)
	e.canonicalize()
	if err := e.checkWishes(); err != nil {
		return b, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if len(envelopeName)+len(text)+2 > MaxHeader {
		return b, fmt.Errorf("%w: %w", ErrEnvelope, ErrHeaderTooLong)
	}
	b = append(b, envelopeName...)
	b = append(b, ' ')
	b = append(b, text...)
	return append(b, '\n'), nil
}

// canonicalize makes every valid address of e canonical. Invalid ones stay as they are.
func (e *Envelope) canonicalize() {
	if from, err := Canonical(e.From); err == nil {
		e.From = from
	}
	for i := range e.To {
		if to, err := Canonical(e.To[i]); err == nil {
			e.To[i] = to
		}
	}
}

// Envelope returns the envelope in the envelope line or in the top block, and nil without an error if there is
// neither. Durations in the top block count from arrived, the time of the file. An envelope line that is not one JSON
// object, and requests for delivery reports that could not be passed on, are errors; unknown members are ignored.
// Envelope does not check the addresses, so that a bad one fails alone: see [Header.Addresses].
//
// In a top block without X-Receiver, To is empty: the recipients are those of the header. The lists of env are not to
// be changed.
func (h *Header) Envelope(arrived time.Time) (env *Envelope, err error) {
	if len(h.block) > 0 {
		return h.topEnvelope(arrived)
	}
	if h.envelope == nil {
		return nil, nil
	}
	line, err := h.line()
	if err != nil {
		return nil, fmt.Errorf("envelope line: %w", err)
	}
	env = new(Envelope)
	*env = *line
	return env, nil
}

// parseEnvelope returns the envelope in the text of an envelope line.
func parseEnvelope(text []byte) (*Envelope, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(text, blanks), []byte("{")) {
		return nil, errors.New("not a JSON object")
	}
	env := new(Envelope)
	if err := json.Unmarshal(text, env); err != nil {
		return nil, err
	}
	env.canonicalize()
	if err := env.checkWishes(); err != nil {
		return nil, err
	}
	return env, nil
}

// HasEnvelopeLine reports whether the file begins with an envelope line.
func (h *Header) HasEnvelopeLine() bool { return h.envelope != nil }

// checkWishes checks the values that become parameters of MAIL or RCPT. Any program may write an envelope line: the
// check also keeps line ends out of commands.
func (e *Envelope) checkWishes() error {
	if e.Ret != "" && e.Ret != "FULL" && e.Ret != "HDRS" {
		return fmt.Errorf("ret %q: neither FULL nor HDRS", printable(e.Ret))
	}
	if len(e.EnvID) > maxEnvID || !isPrintASCII(e.EnvID) {
		return fmt.Errorf("envid %q: not at most 100 printable ASCII characters", printable(e.EnvID))
	}
	if len(e.ID) > maxID || !utf8.ValidString(e.ID) || strings.ContainsFunc(e.ID, unicode.IsControl) {
		return fmt.Errorf("id %q: not at most %d octets of text without control characters", printable(e.ID), maxID)
	}
	if len(e.Notify) > len(e.To) || len(e.ORcpt) > len(e.To) {
		return errors.New("more notify or orcpt values than recipients")
	}
	for _, n := range e.Notify {
		if !isNotify(n) {
			return fmt.Errorf("notify %q: neither NEVER nor a list of SUCCESS, FAILURE, DELAY", printable(n))
		}
	}
	for _, o := range e.ORcpt {
		if !isORcpt(o) {
			return fmt.Errorf("orcpt %q: not of the form rfc822;address", printable(o))
		}
	}
	return nil
}

// maxEnvID is the length limit of RFC 3461, section 4.4.
const maxEnvID = 100

// maxID is the length limit of Envelope.ID, in octets.
const maxID = 200

// isNotify reports whether s is a value of NOTIFY in canonical form, or empty.
func isNotify(s string) bool { return Notify(s) == s }

// Notify returns the canonical form of a value of NOTIFY (RFC 3461, section 4.1): "NEVER", or a list of SUCCESS,
// FAILURE and DELAY in upper case, without spaces. It returns "" for an invalid value.
func Notify(value string) string {
	words := strings.Split(strings.ToUpper(value), ",")
	for i, w := range words {
		w = strings.TrimSpace(w)
		words[i] = w
		known := w == "SUCCESS" || w == "FAILURE" || w == "DELAY" || w == "NEVER" && len(words) == 1
		if !known || slices.Contains(words[:i], w) {
			return ""
		}
	}
	return strings.Join(words, ",")
}

func isORcpt(s string) bool {
	if s == "" {
		return true
	}
	kind, addr, _ := strings.Cut(s, ";")
	return isAtom(kind) && !HasUTF8(kind) && addr != "" && len(s) <= 500 && checkText(addr) == nil
}

func isPrintASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// Wishes returns the values of Notify and ORcpt for the recipients to. A list is nil if e has none.
func (e *Envelope) Wishes(to []string) (notify, orcpt []string) {
	return e.pick(to, e.Notify), e.pick(to, e.ORcpt)
}

// pick returns the values of list, which is in step with To, for the recipients to. For a recipient that To has twice,
// the first value counts.
func (e *Envelope) pick(to, list []string) []string {
	if len(list) == 0 {
		return nil
	}
	of := make(map[string]string, len(list))
	for i, wish := range list[:min(len(list), len(e.To))] {
		if _, again := of[e.To[i]]; !again {
			of[e.To[i]] = wish
		}
	}
	picked := make([]string, len(to))
	for i, rcpt := range to {
		picked[i] = of[rcpt]
	}
	return picked
}
