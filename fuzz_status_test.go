package spoolgore

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Whatever stands in a status file that can be decoded, no method of its records panics, and a copy is a copy.
func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"/s/m": {"From":"a@x","To":[{"Address":"b@y","Status":0,"Attempts":1,` +
		`"NextAttempt":"2026-11-29T11:29:35Z",` +
		`"Error":"e","Tried":{"First":{"Time":"2026-11-29T11:28:36Z"},` +
		`"Last":{"Time":"2026-11-29T11:28:36Z"},"Times":3,` +
		`"Runs":[{"Times":2}]}}],"Cc":null,"Bcc":[],` +
		`"Attempts":-1,"Enqueued":"2026-11-29T11:29:35Z","Size":1,"RawName":"YQpi"}}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var all []*Message
		add := func(_ string, m *Message) { all = append(all, m) }
		if decodeStatus(json.NewDecoder(bytes.NewReader(text)), add) != nil {
			return
		}
		for _, m := range all {
			c := m.clone()
			if len(c.recipients()) != len(m.recipients()) || c.served() != m.served() ||
				c.hasFailed() != m.hasFailed() || c.reason() != m.reason() {
				t.Errorf("%+v is not a copy of %+v", c, m)
			}
			c.nextAttempt()
		}
	})
}
