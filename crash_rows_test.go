package spoolgore

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/docrows"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// journalRows are the rows of the table "Journal" in docs/durability.md. internal/journal tests the second column, the
// files that each step leaves. This test has the third column, the next start. The relay accepts the message for
// a@x.org and defers it for b@x.org.
var journalRows = []struct {
	text  string
	leave func(t *testing.T, dir string, relay *ledger) (after string) // runs a spool until the crash
	tries int                                                          // attempts for a@x.org in all
	// how often the log says that the journal is damaged
	said int
}{
	{"some recipients of several have accepted", crashInDelivery, 2, 0},
	{"a line for that is appended, with those of other messages", crashWith(func(line, _ string) (string, string) { return line[:len(line)-3], "" }), 2, 1},
	{"it is synced; then the log has a line, and the other recipients are tried", crashWith(func(line, _ string) (string, string) { return line, "" }), 1, 0},
	{"the status file that says as much is in place and synced", crashWith(func(line, status string) (string, string) { return line, status }), 1, 0},
	{"the journal is emptied, or replaced by one with later lines only", crashWith(func(_, status string) (string, string) { return "", status }), 1, 0},
}

// crashInDelivery crashes after the reply of the relay and before its record.
func crashInDelivery(t *testing.T, dir string, relay *ledger) string {
	after := dir + ".crashed"
	_, stop := start(t, dir, Options{Transport: TransportFunc(func(ctx context.Context, tx *Transaction) []Result {
		results := relay.Deliver(ctx, tx)
		check(t, os.Rename(dir, after))
		return results
	})})
	pass(time.Second)
	stop()
	return after
}

// crashWith runs a spool until both journal and status file have had the acceptance. It then writes the journal and the
// status file that left returns.
func crashWith(left func(line, status string) (journal, newStatus string)) func(*testing.T, string, *ledger) string {
	return func(t *testing.T, dir string, relay *ledger) string {
		_, stop := start(t, dir, Options{Transport: relay})
		pass(50 * time.Millisecond)
		line := journalOf(t, dir)
		pass(2 * time.Second)
		dir = crash(t, dir, stop)
		if strings.Count(line, "\n") != 1 || journalOf(t, dir) != "" {
			t.Fatal("the acceptance was not in the journal first, or the journal was not emptied later")
		}
		path := filepath.Join(dir, ".spoolgore.js")
		status, err := os.ReadFile(path)
		check(t, err)
		line, text := left(line, string(status))
		check(t, os.WriteFile(filepath.Join(dir, spooldir.JournalFile), []byte(line), 0o600))
		if check(t, os.Remove(path)); text != "" {
			check(t, os.WriteFile(path, []byte(strings.ReplaceAll(text, strings.TrimSuffix(dir, ".crashed")+"/", dir+"/")), 0o600))
		}
		return dir
	}
}

func TestTheNextStartAfterEachRowOfTheJournal(t *testing.T) {
	t.Parallel()
	for _, row := range journalRows {
		t.Run(row.text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay, log := t.TempDir(), &ledger{answer: deferB}, &lines{}
				drop(t, dir, "m", named)
				dir = row.leave(t, dir, relay)
				is.Equal(relay.tries("m", "a@x.org"), 1)
				_, stop := start(t, dir, Options{Transport: relay, Logger: slog.New(slog.NewTextHandler(log, nil))})
				pass(time.Hour)
				stop()
				is.Equal(relay.tries("m", "a@x.org"), row.tries)
				is.True(relay.tries("m", "b@x.org") > 2) // the other recipient is tried again
				is.Equal(strings.Count(log.String(), "journal damaged"), row.said)
			})
		})
	}
}

func TestTheRowsOfTheJournalAreTheDocumented(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	text, err := os.ReadFile("docs/durability.md")
	is.NoErr(err)
	var tested []string
	for _, row := range journalRows {
		tested = append(tested, row.text)
	}
	is.Equal(docrows.Steps(string(text))["Journal"], tested)
}
