package spoolgore

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// contents are files as programs write them, with the recipients and the body that the relay gets. Each row is a kind
// of writer in docs/spool.md.
var contents = map[string]struct {
	file   string
	to     string // empty: the file goes to failed/ or stays, and is not sent
	body   string
	header string // text in the header as sent or, after "-", text that must not be in it
}{
	"CR CR LF in the body": {
		"From: s@x.org\r\nTo: a@x.org\r\r\n\r\r\nBcc: dave@x.org\r\r\nend\r\r\n", "a@x.org",
		"Bcc: dave@x.org\r\nend\r\n", "",
	},
	"CR CR CR LF": {
		"From: s@x.org\r\r\r\nTo: a@x.org\r\r\r\n\r\r\r\nBcc: dave@x.org\r\r\r\n", "a@x.org", "Bcc: dave@x.org\r\n", "",
	},
	"CR LF and LF": {
		"From: s@x.org\r\nTo: a@x.org\n\r\nBcc: dave@x.org\n", "a@x.org", "Bcc: dave@x.org\r\n", "",
	},
	"text after the header": {
		"From: s@x.org\nTo: a@x.org\nDear Ann,\nCc: carol@x.org\n", "a@x.org", "Dear Ann,\r\nCc: carol@x.org\r\n", "",
	},
	"a line of a blank and a tab, then text": {
		"From: s@x.org\nTo: a@x.org\n \t\nDear Ann,\nCc: carol@x.org\n", "a@x.org",
		"Dear Ann,\r\nCc: carol@x.org\r\n", "",
	},
	"a line of no-break spaces": {
		"From: s@x.org\nTo: a@x.org\n\u00a0\u00a0\nCc: carol@x.org\n", "a@x.org",
		"\u00a0\u00a0\r\nCc: carol@x.org\r\n", "",
	},
	"a line of dashes after the header": {
		"From: s@x.org\nTo: a@x.org\n-----\nBcc: carol@x.org\n", "a@x.org", "-----\r\nBcc: carol@x.org\r\n", "",
	},
	"an mbox of two messages with CR LF": {
		"From s Mon Jan  1 00:00:00 2024\r\nFrom: s@x.org\r\nTo: a@x.org\r\n\r\none\r\n\r\n" +
			"From s Mon Jan  1 00:00:00 2024\r\nFrom: s@x.org\r\nTo: b@x.org\r\n\r\ntwo\r\n", "", "", "",
	},
	"an mbox of one message": {
		"From s Mon Jan  1 00:00:00 2024\nFrom: s@x.org\nTo: a@x.org\n\nFrom here on\n>From there\n", "a@x.org",
		"From here on\r\n>From there\r\n", "",
	},
	"two messages of Django": {
		django("a@x.org", "1") + strings.Repeat("-", 79) + "\n" + django("b@x.org", "2") + strings.Repeat("-", 79) + "\n",
		"", "", "",
	},
	"pickup file in small letters": {
		"x-sender: bounce@x.org\nx-receiver: a@x.org\nx-receiver: b@x.org\nFrom: s@x.org\nTo: a@x.org\n\nhello\n",
		"a@x.org b@x.org", "hello\r\n", "-receiver",
	},
	"pickup file with angles and spaces": {
		"X-Sender:   <bounce@x.org>\r\nX-Receiver:\t<b@x.org>\r\nFrom: s@x.org\r\nTo: a@x.org\r\n\r\nhello\r\n", "b@x.org",
		"hello\r\n", "-X-Receiver",
	},
	"X-Receiver further down": {
		"From: s@x.org\nX-Receiver: b@x.org\nTo: a@x.org\n\nhello\n", "a@x.org", "hello\r\n", "X-Receiver: b@x.org",
	},
	"two addresses without a comma": {
		"From: s@x.org\nTo: <a@x.org> <b@x.org>\n\nhello\n", "a@x.org b@x.org", "hello\r\n", "",
	},
	"lines of addresses": {
		"From: s@x.org\nTo: a@x.org,\n\t,\n b@x.org;\n\nhello\n", "a@x.org b@x.org", "hello\r\n", "",
	},
	"an empty group and one address": {
		"From: s@x.org\nTo: undisclosed-recipients:;\nBcc: a@x.org\n\nhello\n", "a@x.org", "hello\r\n", "-Bcc",
	},
	"expiry in the block at the top": {
		"X-Receiver: a@x.org\nX-Spoolgore-Expire: 10m\nX-Spoolgore-Priority: 5\nFrom: s@x.org\n\nhello\n", "a@x.org",
		"hello\r\n", "-X-Spoolgore",
	},
	"expiry further down": {
		"From: s@x.org\nTo: a@x.org\nX-Spoolgore-Expire: 1s\n\nhello\n", "a@x.org", "hello\r\n", "X-Spoolgore-Expire: 1s",
	},
	"a byte order mark": {
		"\ufeffFrom: s@x.org\nTo: a@x.org\n\nhello\n", "a@x.org", "hello\r\n", "-\ufeff",
	},
}

// django is a message of Django's file backend.
func django(to, id string) string {
	return "Content-Type: text/plain; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\n" +
		"Subject: hello\nFrom: s@x.org\nTo: " + to + "\nDate: Mon, 23 Nov 2026 10:00:00 -0000\nMessage-ID: <" + id +
		"@x>\n\nhello\n"
}

// Messages in the forms of many programs are sent to the recipients that the program means, whole, and without Bcc.
func TestContentsOfFiles(t *testing.T) {
	t.Parallel()
	for name, tt := range contents {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				check(t, os.WriteFile(filepath.Join(dir, "m"), []byte(tt.file), 0o600))
				var to []string
				var text string
				_, stop := start(t, dir, Options{Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
					content, err := io.ReadAll(tx.Content())
					to, text = append(to, tx.To...), string(content)
					return slices.Repeat([]Result{{Reply: "250 2.0.0 ok", Err: err}}, len(tx.To))
				})})
				pass(time.Minute)
				stop()
				slices.Sort(to)
				is.Equal(strings.Join(to, " "), tt.to)
				if tt.to == "" {
					return
				}
				head, body, _ := strings.Cut(text, "\r\n\r\n")
				is.Equal(body, tt.body)
				if without, not := strings.CutPrefix(tt.header, "-"); not {
					is.True(!strings.Contains(strings.ToLower(head), strings.ToLower(without)))
				} else {
					is.True(strings.Contains(head, tt.header))
				}
			})
		})
	}
}
