package queue

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

func reload(f *fixture, edited, paused bool) {
	all := f.edited()
	if !edited {
		all = nil
	}
	at := time.Time{}
	if paused {
		at = f.now.Add(time.Second)
	}
	reloadAll(f.q, all, record.Edit{Since: at}, f.now)
}

// threeRoutes returns rules by which every sender has route 2, and a message is given up after an hour.
func threeRoutes() Rules {
	r := testRules()
	r.Routes, r.MaxAge, r.RouteOf = 3, time.Hour, func(string) int { return 2 }
	return r
}

// An input that can come at any time. Rows have the effects in each state; the last row is for all states not named
// above. "=" is the state before, and in parentheses is the check that follows the end of the act or the job. "under
// way" are all states with an act or a job.
type input struct {
	name string
	rule string
	do   func(f *fixture)
	rows string
}

var inputs = []input{
	{
		name: "a file of this name came",
		rule: "An unread file is read now. Where an act or a job is under way, the file is looked for afterwards. " +
			"What is known of a missing file waits for what the new one says.",
		do: func(f *fixture) { f.q.Notice([]string{"m"}, nil, f.now) },
		rows: `
			missing: unread now
			unread, unread again: =
			waiting: checking waiting | Stat
			ready: checking ready | Stat
			finishing, finishing failed: checking finishing | Stat
			held: checking held | Stat
			others: = (new file)
		`,
	},
	{
		name: "the file is said to be gone",
		rule: "The same, but that a file not read yet keeps its time: act Open will see.",
		do:   func(f *fixture) { f.q.Notice(nil, []string{"m"}, f.now) },
		rows: `
			missing: =
			unread, unread again: =
			waiting: checking waiting | Stat
			ready: checking ready | Stat
			finishing, finishing failed: checking finishing | Stat
			held: checking held | Stat
			others: = (changed)
		`,
	},
	{
		name: "listed, the version that is known",
		rule: "Nothing has happened, but to a held file: it is back.",
		do:   func(f *fixture) { f.scan(thisVersion) },
		rows: `
			missing: unread now
			opening, opening again, checking unread: = (changed)
			held: checking held | Stat
			others: =
		`,
	},
	{
		name: "listed, another version",
		rule: "A file that waits is read again. The act that ends a message sees the version itself.",
		do:   func(f *fixture) { f.scan(otherVersion) },
		rows: `
			missing: unread now
			unread, unread again, finishing, finishing failed: =
			waiting, ready: unread now
			held: checking held | Stat
			others: = (changed)
		`,
	},
	{
		name: "listed, version not looked at",
		rule: "The name alone says that a held file is back.",
		do:   func(f *fixture) { f.scan(Version{}) },
		rows: `
			missing: unread now
			held: checking held | Stat
			others: =
		`,
	},
	{
		name: "a complete list without it",
		rule: "The file may be in hold/ or gone: it is looked for.",
		do:   func(f *fixture) { f.scan() },
		rows: `
			missing: =
			unread, unread again: checking unread | Stat
			waiting: checking waiting | Stat
			ready: checking ready | Stat
			finishing, finishing failed: checking finishing | Stat
			held: checking held | Stat
			others: = (changed)
		`,
	},
	{
		name: "an incomplete list without it",
		rule: "An incomplete list says nothing.",
		do:   func(f *fixture) { f.q.BeginScan(f.now).Listed([]File{{Name: "other"}}, f.now) },
		rows: `
			others: =
		`,
	},
	{
		name: "a minute passes",
		rule: "What is due goes on.",
		do:   func(f *fixture) { f.advance(time.Minute) },
		rows: `
			missing: missing 9m
			unread, unread again: opening | Open
			waiting: ready
			finishing: removing | Remove
			finishing failed: failing | Fail
			others: =
		`,
	},
	{
		name: "WarnAfter passes",
		rule: "The sender of a message that waits gets a notice.",
		do:   func(f *fixture) { f.advance(4 * time.Hour) },
		rows: `
			missing: missing 10s
			unread, unread again: opening | Open
			waiting: ready | Notify
			ready: = | Notify
			finishing: removing | Remove
			finishing failed: failing | Fail
			others: =
		`,
	},
	{
		name: "MaxAge passes",
		rule: "A message that waits is given up. One that an act or a job has to do with is given up when it waits again.",
		do:   func(f *fixture) { f.advance(maxAge) },
		rows: `
			missing: missing 10s
			unread, unread again: opening | Open
			waiting, ready: failing | Fail | failed a, failed b
			finishing: removing | Remove
			finishing failed: failing | Fail
			others: =
		`,
	},
	{
		name: "flush",
		rule: "What waits is due now.",
		do:   func(f *fixture) { f.q.Flush(f.now).All(f.now) },
		rows: `
			waiting, ready: waiting now
			finishing, finishing failed: finishing now
			others: =
		`,
	},
	{
		name: "reload, b marked as done in no pause",
		rule: "The edit counts. What is then complete is finished at once.",
		do:   func(f *fixture) { reload(f, true, false) },
		rows: `
			finishing: removing | Remove
			finishing failed: failing | Fail
			others: =
		`,
	},
	{
		name: "reload, b marked as done in a pause",
		rule: "The same.",
		do:   func(f *fixture) { reload(f, true, true) },
		rows: `
			finishing: removing | Remove
			finishing failed: failing | Fail
			others: =
		`,
	},
	{
		name: "reload, not in the file, in no pause",
		rule: "The file may be older than the message: nothing follows, but acceptances go to the journal.",
		do:   func(f *fixture) { reload(f, false, false) },
		rows: `
			recording, removing, finishing, checking finishing: = | Record?
			others: =
		`,
	},
	{
		name: "reload, removed from the file in a pause",
		rule: "The message starts afresh. One with a transaction, or with an outcome that is being written, goes on. Acceptances " +
			"go to the journal.",
		do: func(f *fixture) { reload(f, false, true) },
		rows: `
			finishing: unread now | Record?
			recording, removing, checking finishing: = | Record?
			waiting, ready, finishing, finishing failed, held: unread now
			others: =
		`,
	},
	{
		name: "reconfigure",
		rule: "A message that is ready is in the lane of its new route.",
		do:   func(f *fixture) { f.q.Reconfigure(threeRoutes()).All(f.now) },
		rows: `
			others: =
		`,
	},
	{
		name: "a shorter MaxAge, and an hour passes",
		rule: "The new age counts.",
		do:   func(f *fixture) { f.q.Reconfigure(threeRoutes()).All(f.now); f.advance(time.Hour) },
		rows: `
			missing: missing 10s
			unread, unread again: opening | Open
			waiting, ready: failing | Fail | failed a, failed b
			finishing: removing | Remove
			finishing failed: failing | Fail
			others: =
		`,
	},
	{
		name: "the clock is set forward by an hour",
		rule: "Nothing is due earlier, and nothing is older.",
		do:   func(f *fixture) { f.now = set(f.t, f.now, time.Hour); f.advance(0) },
		rows: `
			unread, unread again: opening | Open
			others: =
		`,
	},
	{
		name: "the clock is set back by an hour",
		rule: "Nothing is due later.",
		do:   func(f *fixture) { f.now = set(f.t, f.now, -time.Hour); f.advance(0) },
		rows: `
			unread, unread again: opening | Open
			others: =
		`,
	},
}

// statesOf returns the states that a row names.
func statesOf(name string) []string {
	switch name {
	case "others":
		return states
	case "under way":
		return slices.DeleteFunc(slices.Clone(states), func(s string) bool {
			return !slices.ContainsFunc([]state{opening, busy, recording, removing, failing, checking}, func(w state) bool {
				return strings.HasPrefix(s, w.String())
			})
		})
	}
	return []string{name}
}

// TestInputs checks the effects of every input in every state.
func TestInputs(t *testing.T) {
	t.Parallel()
	for _, tt := range inputs {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]string{}
			for line := range strings.Lines(strings.TrimSpace(tt.rows)) {
				names, after, _ := strings.Cut(strings.TrimSpace(line), ": ")
				for name := range strings.SplitSeq(names, ", ") {
					for _, s := range statesOf(name) {
						if want[s] == "" {
							want[s] = after
						}
					}
				}
			}
			for _, s := range states {
				f := in(t, s)
				before := f.state()
				tt.do(f)
				got := f.effects()
				if after, ok := strings.CutPrefix(got, before); ok && (after == "" || after[0] == ' ') {
					got = "=" + after
				}
				if got != want[s] {
					t.Errorf("%s: %q, want %q", s, got, want[s])
				}
			}
		})
	}
}
