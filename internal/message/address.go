package message

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Address is one recipient.
type Address struct {
	Addr string // canonical address; with Err: the text in the file, made printable, at most 200 bytes
	Err  error  // why the text is no address; nil: Addr passes [CheckAddress]
}

// Addresses are the sender and the recipients of a message. Each recipient is listed once, at its first place: local
// parts are compared exactly, domains in any case of letters.
type Addresses struct {
	From        string // reverse-path; empty without FromErr: the null sender
	FromErr     error  // why there is no sender
	To, Cc, Bcc []Address
}

// Addresses returns the sender and the recipients: those of the envelope line or of the top block if there is one (all
// in To), those of the header otherwise. If an envelope is broken there are no recipients, and FromErr says so.
//
// In a header the recipients are all addresses of every To, Cc and Bcc field, or of every Resent-To, Resent-Cc and
// Resent-Bcc field if there is any. The sender is in the first of these fields that is not empty: Return-Path,
// Resent-Sender and Resent-From (with Resent recipients only), Sender, From. A bad recipient fails alone, with its Err.
func (h *Header) Addresses() Addresses {
	env, err := h.Envelope(time.Time{})
	if err != nil {
		return Addresses{FromErr: err}
	}
	if env != nil && (len(h.block) == 0 || len(env.To) > 0) {
		a := env.Addresses()
		if env.From == "" && !hasField(h.block, senderField) && len(h.block) > 0 {
			_, a.FromErr = h.sender()
		}
		return a
	}
	seen := make(map[string]bool)
	prefix := h.recipientPrefix()
	var a Addresses
	if a.From, a.FromErr = h.sender(); hasField(h.block, senderField) {
		named := Envelope{From: env.From}.Addresses()
		a.From, a.FromErr = named.From, named.FromErr
	}
	a.To = h.recipients(prefix+"To", seen)
	a.Cc = h.recipients(prefix+"Cc", seen)
	a.Bcc = h.recipients(prefix+"Bcc", seen)
	return a
}

// Addresses checks the addresses of the envelope one by one. All recipients are in To.
func (e Envelope) Addresses() Addresses {
	var a Addresses
	if e.From != "" {
		if from, err := Canonical(e.From); err != nil {
			a.FromErr = fmt.Errorf("sender %q: %w", printable(e.From), err)
		} else {
			a.From = from
		}
	}
	seen := make(map[string]bool, len(e.To))
	for _, to := range e.To {
		a.To = appendNew(a.To, checked(to, to), seen)
	}
	return a
}

// recipients returns the addresses in all fields with the name, without those in seen.
func (h *Header) recipients(name string, seen map[string]bool) []Address {
	var list []Address
	for _, f := range h.fields {
		if !f.is(name) {
			continue
		}
		for _, a := range parseListBy(h.Parser, f.value()) {
			list = appendNew(list, a, seen)
		}
	}
	return list
}

func appendNew(list []Address, a Address, seen map[string]bool) []Address {
	key := a.Addr
	if at := strings.LastIndexByte(key, '@'); at >= 0 {
		if lower := strings.ToLower(key[at:]); lower != key[at:] {
			key = key[:at] + lower
		}
	}
	if seen[key] {
		return list
	}
	seen[key] = true
	return append(list, a)
}

// recipientPrefix returns "Resent-" if there is a Resent-To, Resent-Cc or Resent-Bcc field, else "".
func (h *Header) recipientPrefix() string {
	if hasField(h.fields, "Resent-To") || hasField(h.fields, "Resent-Cc") || hasField(h.fields, "Resent-Bcc") {
		return "Resent-"
	}
	return ""
}

// senderField returns name and value of the first sender field that is not empty. The name is empty if there is none.
func (h *Header) senderField() (name, value string) {
	if hasField(h.fields, "Return-Path") {
		return "Return-Path", h.Get("Return-Path")
	}
	names := []string{"Resent-Sender", "Resent-From", "Sender", "From"}
	if h.recipientPrefix() == "" {
		names = names[2:]
	}
	for _, name := range names {
		if v := h.Get(name); v != "" {
			return name, v
		}
	}
	return "", ""
}

// sender returns the address in the field that names the sender.
func (h *Header) sender() (string, error) {
	switch name, v := h.senderField(); {
	case name == "":
		return "", errors.New("no sender: there is no Return-Path, Sender or From")
	case name == "Return-Path" && (v == "" || strings.Join(strings.Fields(v), "") == "<>"):
		return "", nil
	default:
		return h.firstAddress(name, v)
	}
}

// firstAddress returns the first good address of a sender field.
func (h *Header) firstAddress(name, value string) (string, error) {
	list := parseListBy(h.Parser, value)
	for _, a := range list {
		if a.Err == nil {
			return a.Addr, nil
		}
	}
	if len(list) == 0 {
		return "", fmt.Errorf("no sender: no address in %s", name)
	}
	return "", fmt.Errorf("sender %q in %s: %w", list[0].Addr, name, list[0].Err)
}

// checked returns the Address of addr, read from the text found. Single, typographic and other quotes around an
// address do not count.
func checked(addr, found string) Address {
	if inner, ok := withoutQuotes(addr); ok {
		if canonical, err := Canonical(inner); err == nil {
			return Address{Addr: canonical}
		}
	}
	canonical, err := Canonical(addr)
	if err != nil {
		return Address{Addr: printable(found), Err: err}
	}
	return Address{Addr: canonical}
}

// withoutQuotes returns the text between quotes that are not those of RFC 5322. It is not ok if there are none.
func withoutQuotes(s string) (inner string, ok bool) {
	if s == "" || s[0] != '\'' && s[0] != '`' && s[0] < utf8.RuneSelf {
		return "", false
	}
	for _, pair := range []string{"''", "``", "“”", "„“", "‘’", "‚‘", "«»", "‹›"} {
		_, n := utf8.DecodeRuneInString(pair)
		if inner, ok = strings.CutPrefix(s, pair[:n]); ok {
			if inner, ok = strings.CutSuffix(inner, pair[n:]); ok {
				return inner, true
			}
		}
	}
	return "", false
}
