package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// decode returns the messages of a status file by key.
func decode(text string) (map[string]*Message, error) {
	all := map[string]*Message{}
	err := DecodeStatus(strings.NewReader(text), func(key string, m *Message) error {
		all[key] = m
		return nil
	})
	return all, err
}

func decodeOne(t testing.TB, text string) *Message {
	t.Helper()
	all, err := decode(text)
	check(t, err)
	for _, m := range all {
		return m
	}
	t.Fatal("no message")
	return nil
}

func TestStatusFileIsWhatEncodingJSONReads(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	when := time.Date(2026, 11, 23, 10, 0, 0, 5, time.FixedZone("", 3600))
	full := &Message{
		From: `"q<>&"@x.org`, Cc: []Recipient{}, Bcc: []Recipient{{NextAttempt: when, Attempts: 3}},
		To: []Recipient{{
			Address: "ü@x.org", Status: Done, Error: "line\nbreak \x01 \"", GivenUp: true, Relay: "r:25", LastAttempt: when,
		}, {}},
		Attempts: 7, Enqueued: when, Error: "e", Expire: when, Priority: -2, Size: 9, Modified: when, Held: when,
		RawName: []byte("\xff"),
	}
	var buf bytes.Buffer
	e := NewStatusEncoder(&buf, 1000)
	paths := []string{"/spool/a", "/spool/b", "/spool/bad \xff name"}
	for i, m := range []*Message{{}, full, full} {
		is.NoErr(e.Add(paths[i], m))
	}
	is.NoErr(e.Close())
	var got map[string]*Message
	is.NoErr(json.Unmarshal(buf.Bytes(), &got))
	is.Equal(len(got), 3) // entries with similar names are distinct
	want, err := json.Marshal(full)
	is.NoErr(err)
	all, err := decode(buf.String())
	is.NoErr(err)
	for _, m := range []*Message{got["/spool/b"], all["/spool/b"], all[`/spool/bad \xff name`]} {
		again, err := json.Marshal(m)
		is.NoErr(err)
		is.Equal(string(again), string(want)) // every field is read back
	}
	// one line for each message, for editing
	is.Equal(strings.Count(buf.String(), "\n"), len(paths)+2)
	// addresses are readable
	is.True(strings.Contains(buf.String(), `"q<>&\"@x.org`) || strings.Contains(buf.String(), `<>&`))
	// a name that JSON cannot hold is in a field of its own
	is.Equal(FileName(`/spool/bad \xff name`, full), "\xff")
}

// A status file with few messages is indented for people, with the same content.
func TestStatusFileWithFewMessagesIsIndented(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	text := func(messages int) string {
		var buf bytes.Buffer
		e := NewStatusEncoder(&buf, messages)
		for i := range messages {
			m := &Message{From: "a@x.org", To: []Recipient{{Address: "b@x.org"}}}
			is.NoErr(e.Add(fmt.Sprintf("/spool/%04d", i), m))
		}
		is.NoErr(e.Close())
		return buf.String()
	}
	few := text(999)
	is.True(strings.HasPrefix(few, "{\n\t\"/spool/0000\": {\n\t\t\"From\": \"a@x.org\",\n\t\t\"To\": [\n\t\t\t{\n"))
	is.True(strings.HasSuffix(few, "\n\t}\n}\n"))
	all, err := decode(few)
	is.NoErr(err)
	is.Equal(len(all), 999)
	is.Equal(strings.Count(text(1000), "\n"), 1000+2)
	calls, err := decodeParallel(strings.NewReader(few), maxEntry, func(string, *Message) error { return nil })
	is.NoErr(err) // the indented form can be decoded in parallel, too
	is.Equal(calls, 999)
}

func TestStatusFileWithoutMessages(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	var buf bytes.Buffer
	is.NoErr(NewStatusEncoder(&buf, 1000).Close())
	all, err := decode(buf.String())
	is.NoErr(err)
	is.Equal(len(all), 0)
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"m", "bad \xff utf-8", `"quoted"`, `back\slash`, "ü", "a b"} {
		is := is.New(t)
		m := &Message{RawName: RawName(name)}
		key, err := json.Marshal(StatusKey("/spool/" + name))
		is.NoErr(err)
		var back string
		is.NoErr(json.Unmarshal(key, &back))
		is.Equal(FileName(back, m), name)
	}
}

func TestStatusFileOfThe2014Tool(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := decodeOne(t, `{"/spool/m": {"From": "Joe <a@example.com>",
		"To": [{"Address": "b@example.org", "Status": 2, "Attempts": 0, "NextAttempt": "1999-01-01T00:00:00Z", "Error": ""}],
		"Cc": [{"Address": "c@example.org", "Status": 1, "Attempts": 4, "NextAttempt": "2000-01-01T01:00:00Z", "Error": "x"}],
		"Bcc": [], "Attempts": 2, "Enqueued": "1999-12-31T00:00:00Z"}}`)
	is.True(m.To[0].Accepted())
	is.Equal(m.Cc[0].Status, Waiting) // the 2014 tool ended in the middle of a transaction
	is.Equal(m.Cc[0].Attempts, 4)
	is.Equal(m.Describes(10, start, 0), NoVersion)
	file := New(head("<1@x>", "b@example.org", "c@example.org", "d@example.org"), start)
	is.True(file.IsSame(m)) // the 2014 tool recognized a message by its file name
	Resume(file, m)
	is.True(file.To[0].Accepted())
	is.Equal(file.To[1].Attempts, 4)
	is.Equal(file.To[2].Status, Waiting) // the file has one recipient more
	is.True(file.Enqueued.Equal(time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)))
	is.Equal(file.Attempts, 2)
}

func TestStatusFileThatWasEditedToWaitAgain(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := decodeOne(t, `{"/s/m": {"To": [{"Address": "b@x.org", "Status": 0, "GivenUp": true, "Told": true}]}}`)
	is.Equal(m.To[0], Recipient{Address: "b@x.org"}) // no longer given up, and a new report is possible
}

func TestStatusFileThatIsBroken(t *testing.T) {
	t.Parallel()
	long := "{\n"
	for range 500 {
		long += `"/s/a": {"From":"a","To":[{"Address":"b","Status":0}],"Cc":[],"Bcc":[]},` + "\n"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"no text", "", "EOF"},
		{"null", "null\n", ""},
		{"no messages", "{}\n", ""},
		{"more after null", "null {}", "text follows the end of the object"},
		{"more after the end", "{} {}", "text follows the end of the object"},
		{"a list", "[]", "not an object of messages by file name"},
		{"no end", `{"a": {}`, "EOF"},
		{"no JSON", "{\n\"/x\": {,}\n}", "line 2:"},
		{"wrong type", "{\n\"/x\": {\"Attempts\": \"many\"}}", "line 2:"},
		{"wrong status", "{\n\n\"/x\": {\"To\": [{\"Address\": \"b@x.org\", \"Status\": 3}]}}", `line 3: recipient "b@x.org" has status 3, not 0, 1 or 2`},
		{"negative status", `{"/x": {"To": [{"Address": "b@x.org", "Status": -1}]}}`, "status -1"},
		{"an error far down", long + `"/s/b": {"To":[{"Status":}]}` + "\n}\n", "line 502:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decode(tt.text)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDecodeStatusStopsWhenAsked(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	stop, calls := errors.New("stop"), 0
	err := DecodeStatus(strings.NewReader(`{"/a": {}, "/b": {}}`), func(string, *Message) error {
		calls++
		return stop
	})
	is.Equal(err, stop) // the error itself, without the file name
	is.Equal(calls, 1)
}

// For any status file: the methods of its messages do not fail, and an encoder and decoder return the same messages.
func FuzzDecodeStatus(f *testing.F) {
	f.Add([]byte(`{"/s/m": {"From":"a@x","To":[{"Address":"b@y","Status":0,"Attempts":1,"NextAttempt":"2026-11-29T11:29:35Z",
		"Error":"e","Tried":{"First":{"Time":"2026-11-29T11:28:36Z"},"Last":{"Time":"2026-11-29T11:28:36Z"},"Times":3,
		"Runs":[{"Times":2}]}}],"Cc":null,"Bcc":[],"Attempts":-1,"Enqueued":"2026-11-29T11:29:35Z","Size":1,"RawName":"YQpi"}}`))
	f.Add([]byte(`{"/s/m": {"To":[{"Address":"b@y","Status":2,"GivenUp":true},{"Address":"b@y","Status":1}]}}`))
	f.Add([]byte("{}"))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := decode(string(text))
		if err != nil {
			return
		}
		var file bytes.Buffer
		e := NewStatusEncoder(&file, 1000)
		for key, m := range all {
			for _, r := range m.Recipients() {
				if r.Status != Waiting && r.Status != Done || r.Status == Waiting && r.GivenUp {
					t.Fatalf("recipient %+v", r)
				}
			}
			if m.Served() && m.Failed() {
				t.Fatal("the message is both served and failed")
			}
			use(m)
			if err := e.Add(key, m); err != nil {
				return // JSON cannot hold a year above 9999
			}
		}
		check(t, e.Close())
		again, err := decode(file.String())
		if err != nil || len(again) > len(all) {
			t.Fatalf("%d messages became %d: %v\n%s", len(all), len(again), err, &file)
		}
	})
}

// use calls the methods of m that need no other record.
func use(m *Message) string {
	next, waits := m.NextAttempt()
	c := NewPacker(start).Pack(m, start).Message()
	for _, r := range c.Recipients() {
		r.AttemptRuns()
	}
	FixTimes(c, start, time.Hour)
	to := c.Start(start, nil)
	var outcomes []outcome
	for range to {
		outcomes = append(outcomes, failed(ofMessage, errLater))
	}
	c.Apply(to, outcomes, everyMinute(3), start)
	c.GiveUpWaiting(start)
	return fmt.Sprint(next, waits, m.Reason(), m.Since(), RouteSender(m), OwesNotice(m, ""), NoticeAt(m, time.Hour),
		NoticeOf(m, time.Hour, start, start), c.Served(), c.Failed(), m.Clone(), AcceptedOnly(m, start).Partial())
}

// A long file without the end of an entry, as on a disk that lost data, is refused before it fills the memory.
func TestEntryOfAStatusFileHasALimit(t *testing.T) {
	for name, tt := range map[string]struct {
		begin string
		octet byte
	}{
		"zeros": {"", 0}, "blanks": {"", ' '}, "blanks within": {"{", ' '}, "line ends": {"{", '\n'}, "a key": {`{"`, 'a'},
		"a value": {`{"/s/m": {"From":"`, 'a'}, "a message": {`{"/s/m": {"To":[`, ' '}, "nested": {`{"/s/m": `, '['},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			text := &endless{begin: tt.begin, octet: tt.octet, size: 1 << 40}
			err := decodeBounded(text, 1<<20, func(string, *Message) error { return nil })
			runtime.ReadMemStats(&after)
			is.True(err != nil)
			is.True(after.TotalAlloc-before.TotalAlloc < 64<<20)
		})
	}
}

// endless is a long file: begin, followed by one octet repeated.
type endless struct {
	begin string
	octet byte
	size  int64
	at    int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.at >= e.size {
		return 0, io.EOF
	}
	for i := range p {
		if p[i] = e.octet; e.at < int64(len(e.begin)) {
			p[i] = e.begin[e.at]
		}
		e.at++
	}
	return len(p), nil
}

func (e *endless) Seek(offset int64, whence int) (int64, error) {
	e.at = offset
	return offset, nil
}
