package record

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/matryer/is"
)

// slowly returns m as encoding/json writes it to a status file.
func slowly(m *Message) (string, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(m)
	return string(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), err
}

// The quick writer must write each field of a record, and leave out what encoding/json leaves out.
func TestQuickWriterKnowsEveryField(t *testing.T) {
	is := is.New(t)
	var full Message
	fillAll(reflect.ValueOf(&full).Elem())
	full.RawName = nil // rarely used: encoding/json writes it
	lists := Message{To: []Recipient{}, Cc: []Recipient{{History: &History{Runs: []AttemptRun{{}, {Times: 2}}}}}}
	for _, m := range []*Message{&full, {}, &lists} {
		want, err := slowly(m)
		is.NoErr(err)
		got, ok := new(quickWriter).write(nil, m)
		is.True(ok)
		is.Equal(string(got), want)
	}
	full.RawName = []byte{1}
	_, ok := new(quickWriter).write(nil, &full)
	is.True(!ok)
}

// What the quick writer writes, encoding/json writes, too; the rest of the file does not suffer from a rare value.
func FuzzQuickWriter(f *testing.F) {
	f.Add("a\"\\b<é>", "", int64(0), int64(0), 0)
	f.Add("\u2028", "\x7f\x00\xff\ufffd", int64(1), int64(1e12), 90000)
	f.Add("", "\n", int64(-1), int64(-1e12), -3600)
	f.Fuzz(func(t *testing.T, from, reply string, n, unix int64, offset int) {
		is := is.New(t)
		at := time.Unix(unix, n).In(time.FixedZone("", offset))
		a := Attempt{Time: at, Reply: reply, Error: from}
		m := &Message{From: from, MessageID: reply, Size: n, Enqueued: at, Removed: []string{from, reply}, To: []Recipient{
			{Address: from, NextAttempt: at, Error: reply, Added: n > 0, History: &History{First: a, Last: a}}}}
		want, err := slowly(m)
		got, ok := new(quickWriter).write([]byte("x"), m)
		is.True(!ok || err == nil)
		is.True(!ok || string(got) == "x"+want)
		var file bytes.Buffer
		e := NewStatusEncoder(&file, indented+1)
		is.Equal(e.Add("/a", m) != nil, err != nil)
		if err == nil {
			is.NoErr(e.Close())
			is.Equal(file.String(), "{\n\"/a\": "+want+"\n}\n")
		}
	})
}

// A status file may have a million messages: writing and reading make little garbage.
func TestAStatusFileMakesLittleGarbage(t *testing.T) {
	is := is.New(t)
	a := Attempt{Time: start, Relay: "relay.example.org:587", Reply: "451 4.7.1 try again later"}
	m := &Message{From: "s@example.com", Enqueued: start, Size: 300, Modified: start, Inode: 7, MessageID: "<1@example.com>",
		To: []Recipient{{Address: "r@example.com", Attempts: 1, NextAttempt: start, Error: a.Reply, Relay: a.Relay,
			LastAttempt: start, History: &History{First: a, Last: a}}}, Cc: []Recipient{}, Bcc: []Recipient{}}
	var file bytes.Buffer
	e := NewStatusEncoder(&file, 5000)
	writes := testing.AllocsPerRun(5000, func() { is.NoErr(e.Add("/spool/a.eml", m)) })
	is.True(writes <= 2) // allocations for each message
	is.NoErr(e.Close())
	n := 0.0
	reads := testing.AllocsPerRun(5, func() {
		n = 0
		is.NoErr(DecodeStatus(bytes.NewReader(file.Bytes()), func(string, *Message) error { n++; return nil }))
	})
	is.True(n > 5000)
	is.True(reads/n <= 8) // allocations for each message with a recipient and a history
}
