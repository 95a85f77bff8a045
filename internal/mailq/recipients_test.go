package mailq

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
)

// TestJSONOfAnEntry compares the JSON of entries with the lines that "spoolgore list -json" has always written.
func TestJSONOfAnEntry(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 12, 0, 0, 5, time.UTC)
	tried := record.Attempt{Time: at, Relay: "mail:25", TLS: "TLS 1.3", Reply: "450 <later>"}
	full := &Entry{
		Name: "m.eml", Size: 7, Enqueued: at, State: Deferred, From: "a@x.org", Attempts: 3, NextAttempt: at, Error: "e", Reason: "r",
		GivenUp: at, Held: at, NotBefore: at, Expire: at, Priority: 1, MessageID: "<1@x>", RawName: []byte{0xff},
		To: []record.Recipient{{
			Address: "b@x.org", Status: record.InProgress, Attempts: 3, NextAttempt: at, Error: "<&>", GivenUp: true, Told: true,
			Warned: true, Relay: "mail:25", LastAttempt: at, History: &record.History{First: tried, Last: tried, Times: 3,
				Runs: []record.AttemptRun{{Attempt: tried, Times: 1}, {Attempt: tried, Until: at, Times: 2}}},
		}, {Address: "c@x.org"}},
		Cc: []record.Recipient{{Address: "d@x.org", Status: record.Done}}, Bcc: []record.Recipient{},
	}
	const stamp, attempt = `"2026-03-04T12:00:00.000000005Z"`,
		`"Time":"2026-03-04T12:00:00.000000005Z","Relay":"mail:25","TLS":"TLS 1.3","Reply":"450 <later>"`
	for name, row := range map[string]struct {
		entry *Entry
		want  string
	}{
		"empty": {
			&Entry{Name: "m.eml", Enqueued: at, State: New, To: []record.Recipient{}},
			`{"Name":"m.eml","Size":0,"Enqueued":` + stamp + `,"State":"new","From":""}`,
		},
		"full": {
			full,
			`{"Name":"m.eml","Size":7,"Enqueued":` + stamp + `,"State":"deferred","From":"a@x.org",` +
				`"To":[{"Address":"b@x.org","Status":1,"Attempts":3,"NextAttempt":` + stamp + `,"Error":"<&>","GivenUp":true,` +
				`"Relay":"mail:25","LastAttempt":` + stamp + `,"Tried":{"First":{` + attempt + `},"Last":{` + attempt + `},"Times":3,` +
				`"Runs":[{` + attempt + `,"Times":1},{` + attempt + `,"Until":` + stamp + `,"Times":2}]}},` +
				`{"Address":"c@x.org","Status":0,"Attempts":0}],"Cc":[{"Address":"d@x.org","Status":2,"Attempts":0}],"Attempts":3,` +
				`"NextAttempt":` + stamp + `,"Error":"e","Reason":"r","GivenUp":` + stamp + `,"Held":` + stamp +
				`,"NotBefore":` + stamp + `,"Expire":` + stamp + `,"Priority":1,"MessageID":"<1@x>","RawName":"/w=="}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var plain, escaped bytes.Buffer
			e := json.NewEncoder(&plain)
			e.SetEscapeHTML(false)
			is.NoErr(e.Encode(row.entry))
			is.Equal(plain.String(), row.want+"\n")
			json.HTMLEscape(&escaped, []byte(row.want))
			text, err := json.Marshal(row.entry)
			is.NoErr(err)
			is.Equal(string(text), escaped.String()) // in the form of list -json
		})
	}
}
