package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/sentlog"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// logged writes outcomes into the log of a spool.
func logged(t *testing.T, dir string, entries ...sentlog.Entry) {
	t.Helper()
	var text []byte
	for _, e := range entries {
		line, err := json.Marshal(e)
		is.New(t).NoErr(err)
		text = append(append(text, line...), '\n')
	}
	is.New(t).NoErr(os.WriteFile(filepath.Join(dir, spooldir.SentFile), text, 0o600))
}

// traceSpool makes a spool with the message m.eml, which has accepted recipients and carl, who waits.
func traceSpool(t *testing.T, accepted ...string) string {
	t.Helper()
	is := is.New(t)
	dir := spoolOf(t, "m.eml")
	m := spoolgore.Message{From: "ann@x.org", MessageID: "<1@x.org>", To: []spoolgore.Recipient{{Address: "carl@x.org"}}}
	for _, a := range accepted {
		m.To = append(m.To, spoolgore.Recipient{Address: a, Status: spoolgore.StateDone, Relay: "mail:25"})
	}
	text, err := json.Marshal(spoolgore.Status{filepath.Join(dir, "m.eml"): m})
	is.NoErr(err)
	is.NoErr(os.WriteFile(filepath.Join(dir, spooldir.StatusFile), text, 0o600))
	return dir
}

// An outcome belongs to its recipient: the sender, who is a recipient, too, is not left out.
func TestTraceShowsARecipientWhoIsTheSender(t *testing.T) {
	is := is.New(t)
	dir := traceSpool(t, "ann@x.org", "Bob@x.org")
	logged(t, dir, sentlog.Entry{Time: time.Now(), Outcome: sentlog.Sent, File: "m.eml", MessageID: "<1@x.org>", From: "ann@x.org", To: "bob@x.org"})
	code, out, _ := outputOf("", "trace", dir, "1@x.org")
	is.Equal(code, ExitOK)
	is.True(strings.Contains(out, "delivered   ann@x.org: "))
	is.Equal(strings.Count(strings.ToLower(out), "   bob@x.org: "), 1) // once, although log and status file have bob
	is.True(strings.Contains(out, "carl@x.org: "))
}

// Addresses of the log may be shortened. The time for a message does not grow with the square of its recipients.
func TestTraceOfManyRecipients(t *testing.T) {
	is := is.New(t)
	var all []string
	var entries []sentlog.Entry
	for i := range 10_000 {
		all = append(all, fmt.Sprintf("r%d@d%d.org", i, i))
		entries = append(entries, sentlog.Entry{Outcome: sentlog.Sent, File: "m.eml", MessageID: "<1@x.org>", To: fmt.Sprintf("r…@d%d.org", i)})
	}
	dir := traceSpool(t, all...)
	logged(t, dir, entries...)
	began := time.Now()
	code, out, _ := outputOf("", "trace", "-json", dir, "1@x.org")
	t.Log(time.Since(began))
	is.Equal(code, ExitOK)
	is.Equal(strings.Count(out, "\n"), 10_001)
}
