// Package qshape counts the waiting recipients of a spool by domain, reason and age, as qshape of Postfix does.
package qshape

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/record"
)

// Ages are the upper ends of the age groups of a Shape. The last group has no end.
var Ages = [...]time.Duration{
	5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour, 72 * time.Hour,
}

// A Shape is a number of recipients that wait for the same domain, or for the same reason, by age.
type Shape struct {
	Name  string
	Total int
	ByAge [len(Ages) + 1]int
}

func (s *Shape) add(age time.Duration) {
	i := 0
	for i < len(Ages) && age >= Ages[i] {
		i++
	}
	s.Total++
	s.ByAge[i]++
}

// A Sum has the totals of the messages in one state.
type Sum struct {
	Messages int
	Bytes    int64
	Oldest   time.Time // since when the oldest has been there; zero: there is none
}

// Counts are the counts of the messages of a spool.
type Counts struct {
	States     map[mailq.State]Sum
	Queue      Sum       // of the states in which mail waits, see State.Queued
	Oldest     string    // name of the oldest message of Queue
	Recipients Shape     // waiting recipients of the messages of Queue
	LastNext   time.Time // latest time of the next attempt of a waiting recipient; zero: all are due

	now     time.Time
	domains map[string]*Shape
	reasons map[string]*Shape
}

// New returns empty counts at the time now.
func New(now time.Time) *Counts {
	return &Counts{States: map[mailq.State]Sum{}, now: now, domains: map[string]*Shape{}, reasons: map[string]*Shape{}}
}

// Add counts e. Its header must be read.
func (t *Counts) Add(e *mailq.Entry) {
	since := e.Since()
	t.States[e.State] = t.States[e.State].plus(e.Size, since)
	if !e.State.Queued() {
		return
	}
	before := t.Queue
	if t.Queue = before.plus(e.Size, since); !t.Queue.Oldest.Equal(before.Oldest) || t.Oldest == "" {
		t.Oldest = e.Name
	}
	age := t.now.Sub(since)
	e.Recipients(func(r *record.Recipient) {
		if r.Status == record.Done {
			return
		}
		t.Recipients.add(age)
		if r.NextAttempt.After(t.now) && r.NextAttempt.After(t.LastNext) {
			t.LastNext = r.NextAttempt
		}
		of(t.domains, Domain(r.Address)).add(age)
		if why := cmp.Or(r.Error, e.Error); why != "" {
			of(t.reasons, Kind(why)).add(age)
		}
	})
	if e.Error != "" && len(e.To)+len(e.Cc)+len(e.Bcc) == 0 {
		of(t.reasons, Kind(e.Error)).add(age)
	}
}

func (s Sum) plus(size int64, since time.Time) Sum {
	s.Messages++
	s.Bytes += size
	if s.Oldest.IsZero() || since.Before(s.Oldest) {
		s.Oldest = since
	}
	return s
}

// mostKinds bounds the number of domains and reasons: senders of mail can make up any number.
const mostKinds = 100_000

func of(shapes map[string]*Shape, name string) *Shape {
	s := shapes[name]
	if s == nil && len(shapes) >= mostKinds {
		name = "(others)"
		s = shapes[name]
	}
	if s == nil {
		s = &Shape{Name: name}
		shapes[strings.Clone(name)] = s
	}
	return s
}

// Domain returns the domain of an address in lower case, as Domains names it.
func Domain(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		return strings.ToLower(address[at+1:])
	}
	return "(no domain)"
}

// Domains returns the n domains with the most waiting recipients; n less than one: all.
func (t *Counts) Domains(n int) []Shape { return top(t.domains, n) }

// Reasons returns the n reasons of the most waiting recipients; n less than one: all.
func (t *Counts) Reasons(n int) []Shape { return top(t.reasons, n) }

func top(shapes map[string]*Shape, n int) []Shape {
	all := make([]Shape, 0, len(shapes))
	for s := range maps.Values(shapes) {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Shape) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total),
			cmp.Compare(a.Name, b.Name))
	})
	if n > 0 && len(all) > n {
		all = all[:n]
	}
	return all
}

var (
	anAddress = regexp.MustCompile(`[^\s<>()\[\]"',;:]+@[^\s<>()\[\]"',;:]+`)
	aNumber   = regexp.MustCompile(`[0-9A-Za-z]{8,}`)
)

// Kind returns a reason without addresses and queue ids, so that equal problems of different recipients have equal
// texts.
func Kind(reason string) string {
	if strings.IndexByte(reason, '@') >= 0 {
		reason = anAddress.ReplaceAllLiteralString(reason, "…")
	}
	return aNumber.ReplaceAllStringFunc(reason, func(word string) string {
		if strings.ContainsAny(word, "0123456789") {
			return "…"
		}
		return word
	})
}
