package record

import (
	"reflect"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// TestTake checks what a journal line adds to a record. Every line may be read twice.
func TestTake(t *testing.T) {
	t.Parallel()
	to := func(addr string, state State, minute int) Recipient {
		return Recipient{Address: addr, Status: state, LastAttempt: at(minute)}
	}
	message := func(size int64, to ...Recipient) *Message {
		return &Message{To: to, Size: size, Modified: start, MessageID: "<1@x>"}
	}
	waits := to("b", Waiting, 1)
	waits.Attempts = 1
	refused := to("b", Done, 1)
	refused.GivenUp = true
	reported, warned := refused, waits
	reported.Told, warned.Warned = true, true
	for _, tt := range []struct {
		name    string
		status  *Message
		note    *Message
		want    []Recipient
		partial bool // the file is to be read again
	}{
		{"an acceptance and a failed attempt", message(9, to("a", Waiting, 0), to("b", Waiting, 0)), message(9, to("a", Done, 1), waits),
			[]Recipient{to("a", Done, 1), waits}, false},
		{"given up", message(9, to("a", Done, 0), to("b", Waiting, 0)), message(9, refused), []Recipient{to("a", Done, 0), refused}, false},
		{"older than the status file", message(9, to("b", Waiting, 2)), message(9, waits), []Recipient{to("b", Waiting, 2)}, false},
		{"an acceptance is never undone", message(9, to("b", Done, 0)), message(9, waits), []Recipient{to("b", Done, 0)}, false},
		{"an acceptance counts whatever the clock says", message(9, to("a", Waiting, 5)), message(9, to("a", Done, 1)),
			[]Recipient{to("a", Done, 1)}, false},
		{"of a recipient taken out by hand", message(9, to("a", Waiting, 0)), message(9, waits), []Recipient{to("a", Waiting, 0)}, false},
		{"accepted, and taken out by hand", message(9, to("a", Waiting, 0)), message(9, to("b", Done, 1)),
			[]Recipient{to("a", Waiting, 0), to("b", Done, 1)}, false},
		{"of a later version of the file", message(8, to("a", Waiting, 0)), message(9, waits),
			[]Recipient{to("a", Waiting, 0), waits}, true},
		{"over a record of the 2014 tool", &Message{To: []Recipient{to("a", Done, 0), to("b", Waiting, 0)}}, message(9, waits),
			[]Recipient{to("a", Done, 0), waits}, false},
		{"a report was sent", message(9, reported), message(9, refused), []Recipient{reported}, false},
		{"a warning was sent", message(9, warned), message(9, waits), []Recipient{warned}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m := tt.status
			line := (&Note{File: "m", Message: *tt.note}).Encode()
			for range 2 {
				n, err := DecodeNote(line)
				is.NoErr(err)
				Take(m, n)
				is.Equal(m.To, tt.want)
				is.Equal(m.Partial(), tt.partial)
				is.Equal(m.MessageID, "<1@x>")
			}
		})
	}
}

func TestNoteAloneIsAPartialRecord(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	n, err := DecodeNote((&Note{File: "m", Message: Message{Size: 9, Modified: start, To: []Recipient{done("a")}}}).Encode())
	is.NoErr(err)
	m := n.AsMessage()
	is.True(m.Partial()) // the other recipients are unknown: the file is to be read
	is.True(m.To[0].Accepted())
	is.True(!n.Partial()) // the note is not changed
	_, err = DecodeNote([]byte("{"))
	is.True(err != nil)
}

func TestNoteOfATransaction(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{From: "s@x", Size: 9, Modified: start, MessageID: "<1@x>", RawName: []byte("\xff")}
	for _, a := range []string{"accepted", "deferred", "relay", "not offered", "not due"} {
		m.To = append(m.To, Recipient{Address: a})
	}
	m.To[4].NextAttempt = at(60)
	to := m.Start(start, nil)
	outcomes := []outcome{accepted(), failed(ofRecipient, errLater), failed(ofRelay, errLater), failed(ofNone, errLater)}
	m.Apply(to, outcomes, everyMinute(9), start)
	n := NoteOf(m, "\xff", to, outcomes)
	is.Equal(len(n.To), 2) // outcomes of two recipients
	is.True(n.HasAccepted())
	is.True(n.To[0].Accepted() && n.To[0].History == nil) // no report needs the history of an accepted recipient
	is.True(n.To[1].History != nil)
	n.To = n.To[1:]
	is.True(!n.HasAccepted())
	again, err := DecodeNote(n.Encode())
	is.NoErr(err)
	is.Equal(again.Name(), "\xff")
	is.Equal(again.Attempts, 1)
	is.Equal(again.To[0].Error, "later")
	is.True(!strings.Contains(string(n.Encode()), "\n")) // one line
}

func TestLearn(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{Size: 9, Modified: start, To: []Recipient{waits("a"), waits("b")}}
	Learn(m, &Message{Size: 9, Modified: start, MessageID: "<1@x>", Attempts: 4, Cc: []Recipient{done("a")}, Bcc: []Recipient{done("c")}})
	is.Equal(m.To, []Recipient{done("a"), waits("b"), done("c")})
	is.Equal(m.Attempts, 4)
	is.Equal(m.MessageID, "<1@x>")
}

func TestAnOlderNoteTakesNoAttemptAway(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{{Address: "a@x.org", LastAttempt: start}}, Size: 9, MessageID: "<1@x>"}
	m.To[0].try("aab")
	n := &Note{File: "m", Message: *m.Clone()}
	m.To[0].try("ba")
	Take(m, n) // the status file was written before the journal was cut
	is.Equal(m.To[0].shown(), "5 a1-2*2 b3-4*2 a5")
}

// For any line: an acceptance is kept, no recipient is removed from a list, and the history stays bounded.
func FuzzTake(f *testing.F) {
	f.Add([]byte(`{"File":"m","To":[{"Address":"a","Status":0}],"Size":9,"MessageID":"<1@x>"}`))
	f.Add([]byte(`{"File":"m","To":[{"Address":"c","Status":2}],"Size":8,"MessageID":"<1@x>"}`))
	f.Add([]byte(`{"File":"m","To":[{"Address":"a"},{"Address":"a","Status":1}],"Cc":[{"Address":"b"}],"MessageID":"<2@x>"}`))
	f.Add([]byte(`{"File":"m","Size":9,"To":[{"Address":"b","Attempts":-9,"Tried":{"Times":9,"Runs":[{"Reply":"no","Times":-1},{}]}}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		n, err := DecodeNote(line)
		if err != nil {
			return
		}
		m := &Message{To: []Recipient{{Address: "a", Status: Done}}, Cc: []Recipient{{Address: "b"}}, Size: 9, MessageID: "<1@x>"}
		Take(m, n)
		if len(m.To) < 1 || !m.To[0].Accepted() || len(m.Cc) != 1 || m.Cc[0].Address != "b" {
			t.Fatalf("%s left %+v", line, m)
		}
		b := &m.Cc[0]
		o := failed(ofMessage, errLater)
		o.Reply = "451 later"
		b.note(o, start)
		runs, _ := b.History.all(0)
		back := NewPacker(start).Pack(m, start).Message()
		if len(runs) == 0 || len(runs) > maxRuns || !reflect.DeepEqual(back.Cc[0].History.Runs, b.History.Runs) {
			t.Fatalf("%s left %+v", line, b.History)
		}
	})
}
