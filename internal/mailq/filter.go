package mailq

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// A Filter chooses messages. The zero value chooses all.
type Filter struct {
	States  []State       // accepted states; none: all
	Older   time.Duration // minimum age; zero: no limit
	Younger time.Duration // age below this; zero: no limit
	From    Pattern       // of the sender, if known
	To      Pattern       // of a recipient that has not accepted the message
	Reason  string        // a part of the reason, in any case of letters; empty: any
}

// Headers reports whether f needs sender and recipients.
func (f *Filter) Headers() bool { return f.From != "" || f.To != "" || f.Reason != "" }

// Empty reports whether f chooses all.
func (f *Filter) Empty() bool {
	return len(f.States) == 0 && f.Older == 0 && f.Younger == 0 && !f.Headers()
}

// Match reports whether f chooses e at the time now.
func (f *Filter) Match(e *Entry, now time.Time) bool {
	age := now.Sub(e.Since())
	switch {
	case len(f.States) > 0 && !slices.Contains(f.States, e.State),
		f.Older > 0 && age < f.Older, f.Younger > 0 && age >= f.Younger,
		f.From != "" && !(e.HasSender() && f.From.Match(e.From)),
		f.Reason != "" && !strings.Contains(strings.ToLower(e.Reason), strings.ToLower(f.Reason)):
		return false
	}
	if f.To == "" {
		return true
	}
	matches := false
	e.Recipients(func(r *record.Recipient) { matches = matches || !r.Accepted() && f.To.Match(r.Address) })
	return matches
}

// ParseStates reads names of states, separated by commas.
func ParseStates(text string) ([]State, error) {
	var all []State
	for name := range strings.SplitSeq(text, ",") {
		s := State(strings.TrimSpace(name))
		if !slices.Contains(States, s) {
			return nil, fmt.Errorf("no state is called %q; there are %s", name, stateNames())
		}
		all = append(all, s)
	}
	return all, nil
}

func stateNames() string {
	var names []string
	for _, s := range States {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// A Pattern is an address, or "@example.com" for a domain, or either with * for any characters; "<>" is the null
// sender. Case is ignored. A pattern matches whole addresses only: deletion by pattern must not hit another address.
type Pattern string

// Match reports whether p matches address.
func (p Pattern) Match(address string) bool {
	pattern, address := strings.ToLower(string(p)), strings.ToLower(address)
	switch {
	case pattern == "<>":
		return address == ""
	case strings.HasPrefix(pattern, "@"):
		at := strings.LastIndexByte(address, '@')
		if at < 0 {
			return false
		}
		address = address[at:]
	}
	return wild(pattern, address)
}

// wild reports whether text matches pattern, where * stands for any characters.
func wild(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(text, first) || len(text) < len(first)+len(last) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, ok := strings.Cut(text, part)
		if !ok {
			return false
		}
		text = after
	}
	return true
}
