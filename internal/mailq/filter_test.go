package mailq

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
)

func TestPattern(t *testing.T) {
	for _, row := range []struct {
		pattern Pattern
		address string
		match   bool
	}{
		{"ann@example.com", "Ann@Example.com", true},
		{"ann@example.com", "joann@example.com", false}, // the whole address must match
		{"ann@example.com", "ann@example.com.evil.org", false},
		{"@example.com", "ann@EXAMPLE.com", true},
		{"@example.com", "ann@sub.example.com", false},
		{"@example.com", "", false},
		{"@*example.com", "ann@sub.example.com", true},
		{"*@example.*", "ann@example.org", true},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxcyyb", false},
		{"a*a", "a", false}, // one letter cannot match both
		{"*", "", true},
		{"<>", "", true},
		{"<>", "ann@example.com", false},
		{"\"a/b\"@x.org", "\"a/b\"@x.org", true},
	} {
		t.Run(string(row.pattern)+" "+row.address, func(t *testing.T) {
			is := is.New(t)
			is.Equal(row.pattern.Match(row.address), row.match)
		})
	}
}

func TestFilter(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	e := &Entry{
		From: "shop@example.com", State: Deferred, Enqueued: now.Add(-time.Hour), Reason: "450 4.2.1 Try LATER",
		To: []record.Recipient{{Address: "has@x.org", Status: record.Done}, {Address: "waits@x.org"}}, Cc: []record.Recipient{{Address: "cc@y.org", Status: record.Done, GivenUp: true}},
	}
	for name, row := range map[string]struct {
		filter Filter
		match  bool
	}{
		"none":                 {Filter{}, true},
		"state":                {Filter{States: []State{Held, Deferred}}, true},
		"other state":          {Filter{States: []State{Held}}, false},
		"older":                {Filter{Older: time.Hour}, true},
		"not older":            {Filter{Older: time.Hour + 1}, false},
		"younger":              {Filter{Younger: time.Hour + 1}, true},
		"not younger":          {Filter{Younger: time.Hour}, false},
		"from":                 {Filter{From: "shop@example.com"}, true},
		"not from":             {Filter{From: "@example.org"}, false},
		"to":                   {Filter{To: "waits@x.org"}, true},
		"to one given up":      {Filter{To: "@y.org"}, true},
		"to one who has it":    {Filter{To: "has@x.org"}, false},
		"reason":               {Filter{Reason: "try later"}, true},
		"not for that reason":  {Filter{Reason: "550"}, false},
		"all must be the case": {Filter{To: "waits@x.org", Reason: "550"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(row.filter.Match(e, now), row.match)
			is.Equal(row.filter.Empty(), name == "none")
		})
	}
}

// TestUnreadableMessageHasNoNullSender: "delete -all -from '<>'" must not delete messages that could not be read.
func TestUnreadableMessageHasNoNullSender(t *testing.T) {
	to := []record.Recipient{{Address: "ann@x.org"}}
	for name, row := range map[string]struct {
		entry Entry
		match bool
	}{
		"null sender":              {Entry{To: to}, true},
		"as the status says":       {Entry{To: to, Known: true, Error: "cannot be removed"}, true},
		"no sender in the header":  {Entry{To: to, Error: "no sender"}, false},
		"nothing that can be read": {Entry{Error: "permission denied"}, false},
		"unusable, by the status":  {Entry{Known: true, Error: "no sender"}, false},
		"not read":                 {Entry{}, false},
		"somebody":                 {Entry{From: "a@x.org", To: to}, false},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			null, any := Filter{From: "<>"}, Filter{From: "*"}
			is.Equal(null.Match(&row.entry, time.Time{}), row.match)
			// * matches any sender, but not an unknown sender
			is.Equal(any.Match(&row.entry, time.Time{}), row.match || row.entry.From != "")
		})
	}
}

func TestParseStates(t *testing.T) {
	is := is.New(t)
	got, err := ParseStates("held, failed")
	is.NoErr(err)
	is.Equal(got, []State{Held, Failed})
	_, err = ParseStates("hold")
	is.True(err != nil)
	is.Equal(err.Error(), `no state is called "hold"; there are new, waiting, sending, deferred, scheduled, unusable, temporary, held, failed`)
}
