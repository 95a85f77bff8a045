package spoolgore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// tries makes an attempt a minute for r, and counts it as the queue does. Each letter is what came of one: a, b and c are
// replies, x and y are none.
func (r *Recipient) tries(outcomes string) {
	for _, c := range outcomes {
		now := r.LastAttempt.Add(time.Minute)
		res := Result{Relay: "mail:25", TLS: "TLS 1.3", Reply: fmt.Sprintf("450 4.2.1 %c", c), Err: errLater}
		if c >= 'x' {
			res.Reply = ""
			res.Err = &DeliveryError{Fault: FaultMessage, Op: "end", Err: fmt.Errorf("read tcp 192.0.2.1:%d->192.0.2.2:25: %c", now.Unix(), c)}
		}
		r.note(res, now)
		r.settle(res, counted{any: true}, Options{Attempts: 1 << 20, Backoff: seldom}, now)
	}
}

// tell is what r.Tried says: of each run the outcome, the minutes, and how many they were, and how many attempts in all.
func (r *Recipient) tell() string {
	start := r.Tried.First.Time.Add(-time.Minute)
	minute := func(t time.Time) int { return int(t.Sub(start) / time.Minute) }
	runs, times := r.Tried.attempts(0)
	words := []string{fmt.Sprint(times)}
	for _, run := range runs {
		said := run.Reply + run.Error
		word := fmt.Sprintf("%s%d", said[len(said)-1:], minute(run.Time))
		if run.Times > 1 {
			word += fmt.Sprintf("-%d*%d", minute(run.Until), run.Times)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

var began = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func TestAttemptsAreToldInRuns(t *testing.T) {
	t.Parallel()
	for outcomes, tt := range map[string]struct {
		want string
		runs int // that are stored
	}{
		"a":                       {"1 a1", 0},
		"aa":                      {"2 a1-2*2", 0},
		"ab":                      {"2 a1 b2", 0},
		"aaaaaaa":                 {"7 a1-7*7", 0},
		"xxxx":                    {"4 x1-4*4", 0}, // whatever port each connection had
		"xxyx":                    {"4 x1-2*2 y3 x4", 3},
		"aab":                     {"3 a1-2*2 b3", 2},
		"abb":                     {"3 a1 b2-3*2", 2},
		"aabbbac":                 {"7 a1-2*2 b3-5*3 a6 c7", 4},
		"abababababab":            {"12 a1 b2 a3 b4 a5 b6 a7 b8 a9 b10 a11 b12", 12},
		"aaabababababababababccc": {"23 a1-3*3 a7 b8 a9 b10 a11 b12 a13 b14 a15 b16 a17 b18 a19 b20 c21-23*3", 16},
	} {
		t.Run(outcomes, func(t *testing.T) {
			is := is.New(t)
			r := &Recipient{Address: "a@x.org", LastAttempt: began}
			for _, c := range outcomes {
				before := *r
				told, _ := json.Marshal(before.Tried)
				r.tries(string(c))
				again, _ := json.Marshal(before.Tried)
				is.Equal(string(told), string(again)) // what was said stays as it is: others may read it
			}
			is.Equal(r.tell(), tt.want)
			is.Equal(len(r.Tried.Runs), tt.runs)
			is.True(r.Tried.First.Time.Equal(began.Add(time.Minute)))
			is.True(r.Tried.Last.Time.Equal(r.LastAttempt))
			text, err := json.Marshal(r.Tried)
			is.NoErr(err)
			is.Equal(strings.Contains(string(text), "Times"), len(outcomes) > 2) // one or two take no more room than ever
		})
	}
}

func TestAttemptsTakeNoMoreRoomThanTheyMay(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"451 again in %d seconds", "451 " + strings.Repeat("%d ", 100), "451 " + strings.Repeat("ü%d", 2000)} {
		is := is.New(t)
		r := &Recipient{}
		for i := range 200 {
			now := began.Add(time.Duration(i) * time.Hour)
			r.note(Result{Relay: "mail:25", Reply: strings.ReplaceAll(reply, "%d", fmt.Sprint(1000+i)), Err: errLater}, now)
			runs, times := r.Tried.attempts(0)
			is.Equal(times, i+1) // each of them is counted
			is.True(len(runs) <= mostRuns)
			is.True(len(runs) >= min(i+1, 2)) // the first and the last are always there
			is.True(textIn(runs) <= mostText)
			is.True(runs[0].Time.Equal(began))
			is.True(runs[len(runs)-1].Time.Equal(now))
			for j := 2; j < len(runs); j++ {
				is.Equal(runs[j].Time.Sub(runs[j-1].Time), time.Hour) // of the others the newest
			}
		}
	}
}

// Whatever keeps the attempts, and however often: none is forgotten, and none counted twice.
func TestAttemptsAreKept(t *testing.T) {
	t.Parallel()
	dir, err := spooldir.New(t.TempDir())
	check(t, err)
	kept := map[string]func(t *testing.T, m *Message) *Message{
		"in a parcel": func(_ *testing.T, m *Message) *Message { return knowing(m).known("m") },
		"in the status file": func(t *testing.T, m *Message) *Message {
			path := filepath.Join(dir.Path(), "status")
			var file bytes.Buffer
			check(t, writeStatus(&file, dir, []record{{"m", knowing(nil).wrap(m)}}, well, began))
			check(t, os.WriteFile(path, file.Bytes(), 0o600))
			status, err := loadStatus(path)
			check(t, err)
			back := one(t, status)
			return &back
		},
		"in the journal": func(t *testing.T, m *Message) *Message {
			n := note{File: "m", Message: *m}
			q := knowing(nil)
			check(t, q.replay(n.line()))
			return q.known("m")
		},
		"in the journal and the status file": func(t *testing.T, m *Message) *Message {
			n := note{File: "m", Message: *m}
			q := knowing(m)
			check(t, q.replay(n.line()))
			check(t, q.replay(n.line()))
			return q.known("m")
		},
	}
	for place, keep := range kept {
		for _, outcomes := range []string{"a", "aa", "ab", "aaaa", "xxxx", "aaxxbb", strings.Repeat("abbccc", 8)} {
			t.Run(place+" "+outcomes, func(t *testing.T) {
				is := is.New(t)
				all := &Recipient{Address: "a@x.org", LastAttempt: began}
				m := &Message{To: []Recipient{*all}, Size: 9, MessageID: "<1@x>"}
				for _, c := range outcomes {
					all.tries(string(c))
					m.To[0].tries(string(c))
					m = keep(t, m)
					is.Equal(len(m.To), 1)
					is.True(reflect.DeepEqual(m.To[0].Tried, all.Tried)) // to the last field
				}
			})
		}
	}
}

func TestAnOlderNoteTakesNoAttemptAway(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{{Address: "a@x.org", LastAttempt: began}}, Size: 9, MessageID: "<1@x>"}
	m.To[0].tries("aab")
	n := note{File: "m", Message: *m.clone()}
	m.To[0].tries("ba")
	q := knowing(m)
	is.NoErr(q.replay(n.line())) // the journal was not emptied yet when the status file was written
	is.Equal(q.known("m").To[0].tell(), "5 a1-2*2 b3-4*2 a5")
}

func TestAttemptsThatAnOlderVersionHasWritten(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"one": {`{"Attempts":1,"Tried":{"First":{"Time":"2026-11-23T10:01:00Z","Reply":"a"},"Last":{"Time":"2026-11-23T10:01:00Z","Reply":"a"}}}`,
			"2 a1 b40"},
		"one, in a zone": {`{"Attempts":1,"Tried":{"First":{"Time":"2026-11-23T15:31:00+05:30","Reply":"a"},"Last":{"Time":"2026-11-23T15:31:00+05:30","Reply":"a"}}}`,
			"2 a1 b40"},
		"two": {`{"Attempts":2,"Tried":{"First":{"Time":"2026-11-23T10:01:00Z","Reply":"a"},"Last":{"Time":"2026-11-23T10:02:00Z","Reply":"a"}}}`,
			"3 a1-2*2 b40"},
		"many": {`{"Attempts":39,"Tried":{"First":{"Time":"2026-11-23T10:01:00Z","Reply":"a"},"Last":{"Time":"2026-11-23T10:39:00Z","Reply":"a"}}}`,
			"40 a1 a39 b40"}, // what came of the others nobody knows
		"none that is known": {`{"Attempts":39}`, "1 b1"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var r Recipient
			is.NoErr(json.Unmarshal([]byte(tt.text), &r))
			r.note(Result{Reply: "b", Err: errLater}, began.Add(40*time.Minute))
			is.Equal(r.tell(), tt.want)
		})
	}
}

func TestEveryAttemptIsToldAfterRestartsAndACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := &ledger{answer: func(_, _ string, n int) error {
			switch {
			case n%4 == 0:
				return busyRelay() // which is an attempt, although it counts against nobody
			case n > 20:
				return refused()
			}
			return errLater
		}}
		opts := Options{Transport: relay, Backoff: func(int) time.Duration { return time.Minute }}
		drop(t, dir, "m", simple)
		for range 3 {
			_, stop := start(t, dir, opts)
			pass(3*time.Minute + time.Second/2)
			stop()
		}
		_, stop := start(t, dir, opts)
		pass(3*time.Minute + 30*time.Second)
		dir = crash(t, dir, stop)
		s, stop := start(t, dir, opts)
		pass(time.Second)
		tried := one(t, s.Status()).To[0].Tried
		is.Equal(tried.Times, relay.tries("m", "b@example.org")) // so many that the relay has seen
		pass(time.Hour)
		stop()
		tried = whyFile(t, dir, "m").To[0].Tried
		is.Equal(tried.Times, relay.tries("m", "b@example.org"))
		runs, _ := tried.attempts(0)
		is.Equal(runs[0].Times, 3)
		is.Equal(runs[1].Error, busyRelay().Error())
		is.Equal(runs[len(runs)-1].Error, refused().Error())
	})
}

func TestTwoAttemptsInOneMomentAreTwo(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	r := &Recipient{}
	for i := range 3 {
		r.note(Result{Reply: "451 later", Err: errLater}, began)
		_, times := r.Tried.attempts(0)
		is.Equal(times, i+1)
	}
}

func TestWhatALongReplyIsCutTo(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	r := &Recipient{}
	r.note(Result{Err: errors.New(strings.Repeat("ü", 400))}, began)
	is.Equal(r.Tried.Last.Error, strings.Repeat("ü", 250))
	r.note(Result{Reply: strings.Repeat("ü", 400), Err: errLater}, began)
	is.Equal(r.Tried.Last.Reply, strings.Repeat("ü", 250))
	is.Equal(r.Tried.Last.Error, "") // the reply says it
}
