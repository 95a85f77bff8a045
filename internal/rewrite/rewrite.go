// Package rewrite changes senders and recipients of mail at delivery, by rules of the operator. The file in the spool
// is not changed, and neither is a field without a rule.
package rewrite

import (
	"errors"
	"fmt"
	"strings"

	"github.com/unbit/spoolgore/internal/message"
)

// Settings are the wishes of the operator. The zero value changes nothing.
type Settings struct {
	Sender   string   // reverse-path of all mail but that of the null sender; empty: From, or unchanged
	From     string   // mailbox of the From field, and reverse-path; empty: unchanged
	Senders  []Pair   // other addresses for single senders, in the envelope and in the header
	Redirect string   // recipient of all mail; empty: the recipients of each message
	Allow    []string // patterns of recipients; mail to any other recipient is held; empty: all
	Copies   []Pair   // further recipient of the mail of some senders; at most one for each message
}

// Rules are checked Settings. A nil pointer changes nothing.
type Rules struct {
	relay                  string // reverse-path for a relay, before that of senders; empty: none
	sender, from, redirect string
	senders, allow, copies patterns
}

// New checks settings. It returns nil if the settings change nothing.
func New(s Settings) (*Rules, error) {
	r := &Rules{senders: patterns{}, allow: patterns{}, copies: patterns{}}
	for _, x := range []struct {
		name, addr string
		to         *string
	}{{"sender", s.Sender, &r.sender}, {"from", s.From, &r.from}, {"redirect", s.Redirect, &r.redirect}} {
		if x.addr == "" {
			continue
		}
		addr, err := message.Canonical(x.addr)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no address: %w", x.name, x.addr, err)
		}
		*x.to = addr
	}
	for _, p := range s.Senders {
		addr, err := target(p.Address)
		if err != nil {
			return nil, fmt.Errorf("senders: %w", err)
		}
		if err := r.senders.add(p.Pattern, addr); err != nil {
			return nil, fmt.Errorf("senders: %w", err)
		}
	}
	for _, pattern := range s.Allow {
		if err := r.allow.add(pattern, pattern); err != nil {
			return nil, fmt.Errorf("allow: %w", err)
		}
	}
	for _, p := range s.Copies {
		addr, err := message.Canonical(p.Address)
		if err != nil {
			return nil, fmt.Errorf("bcc: %q is no address: %w", p.Address, err)
		}
		if err := r.copies.add(p.Pattern, addr); err != nil {
			return nil, fmt.Errorf("bcc: %w", err)
		}
	}
	if r.sender+r.from+r.redirect == "" && len(r.senders)+len(r.allow)+len(r.copies) == 0 {
		return nil, nil
	}
	return r, nil
}

// target returns the address, or "@" and the domain, that takes the place of another one.
func target(addr string) (string, error) {
	check := addr
	if strings.HasPrefix(addr, "@") {
		check = "x" + addr
	}
	canonical, err := message.Canonical(check)
	if err == nil && strings.Contains(addr, "*") && addr[0] == '@' {
		err = errors.New(`"*" cannot take the place of a domain`)
	}
	if err != nil {
		return "", fmt.Errorf(`%q is neither an address nor "@" and a domain: %w`, addr, err)
	}
	return canonical[len(check)-len(addr):], nil
}

// With returns the rules for a relay that has a sender or a From of its own. These count before all others. Empty ones
// are those of r.
func (r *Rules) With(sender, from string) (*Rules, error) {
	if sender == "" && from == "" {
		return r, nil
	}
	own, err := New(Settings{Sender: sender, From: from})
	if err != nil || r == nil {
		return own, err
	}
	c := *r
	if c.relay = own.sender; from != "" {
		c.sender, c.from, c.senders = "", own.from, nil
	}
	return &c, nil
}

// Own are the settings of a route that count before those of all mail.
type Own struct{ Name, Sender, From string }

// NewAll is New with the rules of each route.
func NewAll(s Settings, own []Own) (all *Rules, routes []*Rules, err error) {
	if all, err = New(s); err != nil {
		return nil, nil, err
	}
	for _, o := range own {
		r, err := all.With(o.Sender, o.From)
		if err != nil {
			return nil, nil, fmt.Errorf("route for %q: %w", o.Name, err)
		}
		routes = append(routes, r)
	}
	return all, routes, nil
}

// Envelope returns the reverse-path for mail from an address. The null sender stays.
func (r *Rules) Envelope(from string) string {
	if r == nil || from == "" {
		return from
	}
	if r.relay != "" {
		return r.relay
	}
	if to, ok := r.mapped(from); ok {
		return to
	}
	switch {
	case r.sender != "":
		return r.sender
	case r.from != "":
		return r.from
	}
	return from
}

// mapped returns the address that the table of senders has for an address.
func (r *Rules) mapped(addr string) (string, bool) {
	to, ok := r.senders.find(addr)
	if ok && to[0] == '@' {
		to = addr[:strings.LastIndexByte(addr, '@')] + to
		ok = message.CheckAddress(to) == nil
	}
	return to, ok
}

// Redirect returns the recipient of all mail; empty: each message has its own.
func (r *Rules) Redirect() string {
	if r == nil {
		return ""
	}
	return r.redirect
}

// Allows returns Forbidden, or nil if mail to all recipients is allowed.
func (r *Rules) Allows() func(to []string) (forbidden string) {
	if r == nil || len(r.allow) == 0 {
		return nil
	}
	return r.Forbidden
}

// Forbidden returns the first of the recipients to which no mail is allowed; empty: mail to all of them is. With a
// redirect, that is about its address.
func (r *Rules) Forbidden(to []string) string {
	if r == nil || len(r.allow) == 0 || len(to) == 0 {
		return ""
	}
	if r.redirect != "" {
		to = []string{r.redirect}
	}
	for _, addr := range to {
		if _, ok := r.allow.find(addr); !ok {
			return addr
		}
	}
	return ""
}

// Copy returns the recipient who gets a copy of the mail of a sender; empty: there is none. The null sender's mail is
// not copied.
func (r *Rules) Copy(from string) string {
	if r == nil || from == "" {
		return ""
	}
	to, _ := r.copies.find(from)
	return to
}
