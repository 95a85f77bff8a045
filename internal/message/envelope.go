package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Envelope says who a message is from and to, whatever its header says. It is kept as JSON in the first line of the
// file, "X-Spoolgore-Envelope: {...}", which is never sent.
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
}

// AppendLine appends the envelope line, with its line end, to b. It fails, and returns b as it was, if there is no
// recipient, an address does not pass [CheckAddress] (an empty From does), a delivery notification wish is not one of RFC 3461,
// or the line does not fit [MaxHeader] ([ErrHeaderTooLong]).
func (e Envelope) AppendLine(b []byte) ([]byte, error) {
	for _, to := range e.To {
		if err := CheckAddress(to); err != nil {
			return b, fmt.Errorf("envelope: recipient %q: %w", printable(to), err)
		}
	}
	return e.AppendAnyLine(b)
}

// AppendAnyLine is AppendLine for recipients of which some may be no addresses. It is for who must not lose a message
// over that: each such one fails alone once the file is read, and its sender is told.
func (e Envelope) AppendAnyLine(b []byte) ([]byte, error) {
	if len(e.To) == 0 {
		return b, errors.New("envelope: no recipient")
	}
	if e.From != "" {
		if err := CheckAddress(e.From); err != nil {
			return b, fmt.Errorf("envelope: sender %q: %w", printable(e.From), err)
		}
	}
	if err := e.checkWishes(); err != nil {
		return b, fmt.Errorf("envelope: %w", err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return b, fmt.Errorf("envelope: %w", err)
	}
	if len(envelopeName)+len(text)+2 > MaxHeader {
		return b, fmt.Errorf("envelope: %w", ErrHeaderTooLong)
	}
	b = append(b, envelopeName...)
	b = append(b, ' ')
	b = append(b, text...)
	return append(b, '\n'), nil
}

// Envelope returns what the envelope line says, and nil without an error if there is no such line. A line that has the name but is not
// one JSON object, or holds wishes that could not be passed on, is an error; unknown members are ignored. Its
// addresses are not looked at here, so that a bad one fails alone: see [Header.Addresses].
func (h *Header) Envelope() (env *Envelope, err error) {
	if h.envelope == nil {
		return nil, nil
	}
	if !bytes.HasPrefix(bytes.TrimLeft(h.envelope, blanks), []byte("{")) {
		return nil, errors.New("envelope line: not a JSON object")
	}
	env = new(Envelope)
	if err := json.Unmarshal(h.envelope, env); err != nil {
		return nil, fmt.Errorf("envelope line: %w", err)
	}
	if err := env.checkWishes(); err != nil {
		return nil, fmt.Errorf("envelope line: %w", err)
	}
	return env, nil
}

// checkWishes checks what becomes a parameter of MAIL or RCPT. An envelope line may come from any program, so this
// is also what keeps a line end out of a command.
func (e *Envelope) checkWishes() error {
	if e.Ret != "" && e.Ret != "FULL" && e.Ret != "HDRS" {
		return fmt.Errorf("ret %q: neither FULL nor HDRS", printable(e.Ret))
	}
	if len(e.EnvID) > 100 || !isPrintASCII(e.EnvID) {
		return fmt.Errorf("envid %q: not at most 100 printable ASCII characters", printable(e.EnvID))
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

func isNotify(s string) bool {
	if s == "" || s == "NEVER" {
		return true
	}
	words := strings.Split(s, ",")
	for i, w := range words {
		known := w == "SUCCESS" || w == "FAILURE" || w == "DELAY"
		if !known || slices.Contains(words[:i], w) {
			return false
		}
	}
	return true
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

// Wishes picks of Notify and ORcpt, which are in step with To, what belongs to the recipients to. A list is nil where e has none.
func (e *Envelope) Wishes(to []string) (notify, orcpt []string) {
	return e.pick(to, e.Notify), e.pick(to, e.ORcpt)
}

// pick picks of list, which is in step with To, what belongs to the recipients to: where one is there twice, its first.
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
