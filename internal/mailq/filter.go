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
	States  []State       // one of these; none: any
	Older   time.Duration // at least this old; zero: any age
	Younger time.Duration // younger than this; zero: any age
	From    Pattern       // of the sender, if it is known
	To      Pattern       // of one recipient who has not got it
	Reason  string        // a part of the reason, in any case of letters; empty: any
}

// Headers reports whether f has to know whom a message is from and to.
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

// A Pattern is an address, or "@example.com" for all of a domain, or either with * for any characters; "<>" is the null
// sender. Letters match in either case. It is all of the address, never a part: who deletes by it must not hit another.
type Pattern string

// Match reports whether address is one of those that p is about.
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

// wild reports whether text is pattern, in which each * stands for any characters.
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
