package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// try makes one attempt a minute for r, and counts each as a transaction does. Each letter is a result: a, b and c are
// replies, x and y are errors without a reply.
func (r *Recipient) try(results string) {
	for _, c := range results {
		now := r.LastAttempt.Add(time.Minute)
		o := failed(ofMessage, errLater)
		o.TLS, o.Reply = "TLS 1.3", fmt.Sprintf("450 4.2.1 %c", c)
		if c >= 'x' {
			o.Reply = ""
			o.Err = fmt.Errorf("end: read tcp 192.0.2.1:%d->192.0.2.2:25: %c", now.Unix(), c)
		}
		r.note(o, now)
		r.apply(o, true, everyMinute(1<<20), now)
	}
}

// shown returns the history of r as text: the number of attempts, and for each run the result, the minutes and the
// number.
func (r *Recipient) shown() string {
	first := r.History.First.Time.Add(-time.Minute)
	minute := func(t time.Time) int { return int(t.Sub(first) / time.Minute) }
	runs, times := r.History.all(0)
	words := []string{fmt.Sprint(times)}
	for _, run := range runs {
		text := run.Reply + run.Error
		word := fmt.Sprintf("%s%d", text[len(text)-1:], minute(run.Time))
		if run.Times > 1 {
			word += fmt.Sprintf("-%d*%d", minute(run.Until), run.Times)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestHistoryJoinsEqualResultsInRuns(t *testing.T) {
	t.Parallel()
	for results, tt := range map[string]struct {
		want string
		runs int // number of runs that are stored
	}{
		"a":                       {"1 a1", 0},
		"aa":                      {"2 a1-2*2", 0},
		"ab":                      {"2 a1 b2", 0},
		"aaaaaaa":                 {"7 a1-7*7", 0},
		"xxxx":                    {"4 x1-4*4", 0}, // the local port in the error makes no difference
		"xxyx":                    {"4 x1-2*2 y3 x4", 3},
		"aab":                     {"3 a1-2*2 b3", 2},
		"abb":                     {"3 a1 b2-3*2", 2},
		"aabbbac":                 {"7 a1-2*2 b3-5*3 a6 c7", 4},
		"abababababab":            {"12 a1 b2 a3 b4 a5 b6 a7 b8 a9 b10 a11 b12", 12},
		"aaabababababababababccc": {"23 a1-3*3 a7 b8 a9 b10 a11 b12 a13 b14 a15 b16 a17 b18 a19 b20 c21-23*3", 16},
	} {
		t.Run(results, func(t *testing.T) {
			is := is.New(t)
			r := &Recipient{Address: "a@x.org", LastAttempt: start}
			for _, c := range results {
				before := *r
				was, _ := json.Marshal(before.History)
				r.try(string(c))
				is1, _ := json.Marshal(before.History)
				is.Equal(string(was), string(is1)) // a History is immutable, as other goroutines may read it
			}
			is.Equal(r.shown(), tt.want)
			is.Equal(len(r.History.Runs), tt.runs)
			is.True(r.History.First.Time.Equal(at(1)))
			is.True(r.History.Last.Time.Equal(r.LastAttempt))
			text, err := json.Marshal(r.History)
			is.NoErr(err)
			// one or two attempts are written in the old form
			is.Equal(strings.Contains(string(text), "Times"), len(results) > 2)
			runs, leftOut := r.AttemptRuns()
			for _, run := range runs {
				leftOut += run.Times
			}
			is.Equal(leftOut, len(results))
		})
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{
		"451 again in %d seconds", "451 " + strings.Repeat("%d ", 100), "451 " + strings.Repeat("ü%d", 2000),
	} {
		is := is.New(t)
		r := &Recipient{}
		for i := range 200 {
			now := start.Add(time.Duration(i) * time.Hour)
			o := failed(ofMessage, errLater)
			o.Reply = strings.ReplaceAll(reply, "%d", fmt.Sprint(1000+i))
			r.note(o, now)
			runs, times := r.History.all(0)
			is.Equal(times, i+1) // every attempt is counted
			is.True(len(runs) <= maxRuns)
			is.True(len(runs) >= min(i+1, 2)) // the first and the last run are kept
			is.True(textIn(runs) <= maxRunText)
			is.True(runs[0].Time.Equal(start))
			is.True(runs[len(runs)-1].Time.Equal(now))
			for j := 2; j < len(runs); j++ {
				is.Equal(runs[j].Time.Sub(runs[j-1].Time), time.Hour) // the other runs are the newest
			}
		}
	}
}

// No attempt is lost or counted twice in any form of the history, however often it is converted.
func TestHistorySurvives(t *testing.T) {
	t.Parallel()
	kept := map[string]func(t *testing.T, m *Message) *Message{
		"compact": func(_ *testing.T, m *Message) *Message { return NewPacker(start).Pack(m, start).Message() },
		"status file": func(t *testing.T, m *Message) *Message {
			var file bytes.Buffer
			e := NewStatusEncoder(&file, 1000)
			check(t, e.Add("/spool/m", m))
			check(t, e.Close())
			return decodeOne(t, file.String())
		},
		"journal": func(t *testing.T, m *Message) *Message {
			n, err := DecodeNote((&Note{File: "m", Message: *m}).Encode())
			check(t, err)
			return n.AsMessage()
		},
		"journal and status file": func(t *testing.T, m *Message) *Message {
			n, err := DecodeNote((&Note{File: "m", Message: *m}).Encode())
			check(t, err)
			Take(m, n)
			Take(m, n)
			return m
		},
	}
	for place, keep := range kept {
		for _, results := range []string{"a", "aa", "ab", "aaaa", "xxxx", "aaxxbb", strings.Repeat("abbccc", 8)} {
			t.Run(place+" "+results, func(t *testing.T) {
				is := is.New(t)
				want := &Recipient{Address: "a@x.org", LastAttempt: start}
				m := &Message{To: []Recipient{*want}, Size: 9, MessageID: "<1@x>"}
				for _, c := range results {
					want.try(string(c))
					m.To[0].try(string(c))
					m = keep(t, m)
					is.Equal(len(m.To), 1)
					is.True(reflect.DeepEqual(m.To[0].History, want.History))
				}
			})
		}
	}
}

func TestHistoryOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"one": {`{"Attempts":1,"Tried":{"First":{"Time":"2026-11-23T10:01:00Z","Reply":"a"},
			"Last":{"Time":"2026-11-23T10:01:00Z","Reply":"a"}}}`, "2 a1 b40"},
		"one, in another zone": {`{"Attempts":1,"Tried":{"First":{"Time":"2026-11-23T15:31:00+05:30","Reply":"a"},
			"Last":{"Time":"2026-11-23T15:31:00+05:30","Reply":"a"}}}`, "2 a1 b40"},
		"two": {`{"Attempts":2,"Tried":{"First":{"Time":"2026-11-23T10:01:00Z","Reply":"a"},
			"Last":{"Time":"2026-11-23T10:02:00Z","Reply":"a"}}}`, "3 a1-2*2 b40"},
		// The result of the attempts between is unknown.
		"many": {`{"Attempts":39,"Tried":{"First":{"Time":"2026-11-23T10:01:00Z","Reply":"a"},
			"Last":{"Time":"2026-11-23T10:39:00Z","Reply":"a"}}}`, "40 a1 a39 b40"},
		"none": {`{"Attempts":39}`, "1 b1"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var r Recipient
			is.NoErr(json.Unmarshal([]byte(tt.text), &r))
			o := failed(ofMessage, errLater)
			o.Reply = "b"
			r.note(o, at(40))
			is.Equal(r.shown(), tt.want)
		})
	}
}

func TestTwoAttemptsAtOneTimeAreTwo(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	r := &Recipient{}
	for i := range 3 {
		o := failed(ofMessage, errLater)
		o.Reply = "451 later"
		r.note(o, start)
		_, times := r.History.all(0)
		is.Equal(times, i+1)
	}
}

func TestHistoryOfOneAttempt(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	long := strings.Repeat("ü", 400)
	note := func(o outcome) *History {
		r := &Recipient{}
		r.note(o, start)
		return r.History
	}
	is.Equal(note(failed(ofMessage, errors.New(long))).Last.Error, long[:maxAttempt]) // cut between two letters
	o := failed(ofMessage, errLater)
	o.Reply = long
	is.Equal(note(o).Last.Reply, long[:maxAttempt])
	is.Equal(note(o).Last.Error, "")               // the reply has the reason
	is.True(note(failed(ofNone, errLater)) == nil) // the recipient was not offered: no attempt
	is.True(note(failed(ofRelay, errLater)) != nil)
	is.Equal(note(accepted()).Last, Attempt{Time: start, Relay: "mail:25", Reply: "250 2.0.0 ok"})
	is.Equal(note(permanent(failed(ofMessage, errLater))).Last.Status, "5.0.0") // final without a reply with a status
	runs, leftOut := (&Recipient{}).AttemptRuns()
	is.Equal(len(runs)+leftOut, 0)
}
