package spoolgore

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// evil is a message that hides in another one. It must never be sent as a message of its own.
const evil = "MAIL FROM:<evil@example.net>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\n"

// header is a complete header; the recipient is b@example.org.
const header = "From: a@example.com\nTo: b@example.org\nDate: d\nMessage-ID: <1@x>\n"

// Hostile content, from the file to the relay: sender, recipients and bytes.
func TestHostileContent(t *testing.T) {
	t.Parallel()
	const b = "b@example.org"
	type row struct {
		name, text string
		to         string // recipients, separated by bars; empty: no message is sent
		has        string // part of the content that the relay gets
		hasNot     string // part that the content must not have; empty: no check
	}
	tests := []row{
		// An envelope line counts in the first line only.
		{"envelope line second", "Subject: x\nX-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"victim@example.net\"]}\n" + header + "\nhello\n", b, "X-Spoolgore-Envelope: {", ""},
		{"envelope line in front of another", "X-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"b@example.org\"]}\nX-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"victim@example.net\"]}\n" + header + "\nhello\n", b, "", ""},
		{"envelope line behind a blank line", "\nX-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"victim@example.net\"]}\n" + header + "\nhello\n", "", "", ""},
		{"envelope line behind an mbox line", "From x\nX-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"victim@example.net\"]}\n" + header + "\nhello\n", b, "X-Spoolgore-Envelope: {", ""},
		{"envelope line in the body", header + "\nX-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"victim@example.net\"]}\n", b, "X-Spoolgore-Envelope: {", ""},
		{"envelope line folded", "X-Spoolgore-Envelope:\n {\"from\":\"\",\"to\":[\"victim@example.net\"]}\n" + header + "\nhello\n", "", "", ""},
		{"envelope with a command in an address", `X-Spoolgore-Envelope: {"from":"a@example.com","to":["b@example.org","x@y.org>\r\nRCPT TO:<victim@example.net"]}` + "\n" + header + "\nhello\n", b, "", ""},
		{"envelope with a command in the sender", `X-Spoolgore-Envelope: {"from":"a@example.com>\r\nRCPT TO:<victim@example.net","to":["b@example.org"]}` + "\n" + header + "\nhello\n", "", "", ""},
		{"envelope with a command in a wish", `X-Spoolgore-Envelope: {"from":"a@example.com","to":["b@example.org"],"envid":"x\r\nRCPT TO:<victim@example.net>"}` + "\n" + header + "\nhello\n", "", "", ""},

		// Addresses.
		{"CR LF in an address", header + "Cc: \"x\r\nRCPT TO:<victim@example.net>\"@y.org\n\nhello\n", b, "\r\n\r\nRCPT TO:<victim", ""},
		{"CR LF and a blank in an address", "Cc: \"x\r\n RCPT TO:<victim@example.net>\"@y.org\n" + header + "\nhello\n", `b@example.org|"x RCPT TO:<victim@example.net>"@y.org`, "", ""},
		{"CR in an address", "Cc: <x@y.org>\rRCPT TO:<victim@example.net\n" + header + "\nhello\n", "b@example.org|x@y.org", "", ""},
		{"> in an address", "Cc: <x@y.org> NOTIFY=NEVER\n" + header + "\nhello\n", "b@example.org|x@y.org", "", ""},
		{"quoted > in an address", "Cc: \"x>RCPT TO:<victim@example.net\"@y.org\n" + header + "\nhello\n", `b@example.org|"x>RCPT TO:<victim@example.net"@y.org`, "", ""},
		{"NUL in an address", "Cc: x\x00victim@example.net\n" + header + "\nhello\n", b, "", ""},
		{"encoded word that is an address", "Cc: =?utf-8?q?victim=40example.net?=\n" + header + "\nhello\n", b, "", ""},
		{"encoded word in angle brackets", "Cc: X <=?utf-8?q?victim=40example.net?=>\n" + header + "\nhello\n", b, "", ""},
		{"encoded line end in angle brackets", "Cc: X <x=?utf-8?q?=0D=0ARCPT_TO:<victim=40example.net>?=@y.org>\n" + header + "\nhello\n", b, "", ""},
		{"encoded word with a comma as a name", "Cc: =?utf-8?q?victim=40example.net=2C?= <x@y.org>\n" + header + "\nhello\n", "b@example.org|x@y.org", "", ""},

		// No recipient sees the recipients of Bcc.
		{"Bcc", "Bcc: c@hidden.org\n" + header + "\nhello\n", "b@example.org|c@hidden.org", "", "hidden"},
		{"Bcc with a blank before the colon", "Bcc : c@hidden.org\n" + header + "\nhello\n", "b@example.org|c@hidden.org", "", "hidden"},
		{"bcc in other letters", "bCC:c@hidden.org\n" + header + "\nhello\n", "b@example.org|c@hidden.org", "", "hidden"},
		{"Bcc folded", "Bcc:\n c@hidden.org,\n d@hidden.org\n" + header + "\nhello\n", "b@example.org|c@hidden.org|d@hidden.org", "", "hidden"},
		{"Bcc folded with tabs", "Bcc\t:\t\n\tc@hidden.org,\n\t\t\n\td@hidden.org\n" + header + "\nhello\n", "b@example.org|c@hidden.org|d@hidden.org", "", "hidden"},
		{"Bcc with text behind it", header + "Bcc: c@hidden.org,\n d@hidden.org\nhello\nBcc: victim@example.net\n", "b@example.org|c@hidden.org|d@hidden.org", "\r\n\r\nhello\r\nBcc: victim", "hidden"},
		{"Bcc twice", "Bcc: c@hidden.org\n" + header + "BCC: d@hidden.org\n\nhello\n", "b@example.org|c@hidden.org|d@hidden.org", "", "hidden"},
		{"Bcc last, CR CR LF", header + "Bcc: c@hidden.org\r\r\n\nhello\n", "b@example.org|c@hidden.org", "", "hidden"},
		{"Bcc with CRLF lines", strings.ReplaceAll("Bcc: c@hidden.org,\n d@hidden.org\n"+header+"\nhello\n", "\n", "\r\n"), "b@example.org|c@hidden.org|d@hidden.org", "", "hidden"},
		{"Bcc and no header end", header + "Bcc: c@hidden.org\n", "b@example.org|c@hidden.org", "", "hidden"},
		{"Resent-Bcc", "Resent-From: r@example.com\nResent-Bcc : c@hidden.org\n" + header + "\nhello\n", "c@hidden.org", "", "hidden"},
		{"Return-Path", "Return-Path: <r@hidden.org>\n" + header + "\nhello\n", b, "", "hidden"},
		{"Bcc in the body", header + "\nBcc: c@example.org\n", b, "Bcc: c@example.org", ""},
	}
	// Smuggling: line ends that some server takes for the end of the data.
	for _, end := range []string{"\n.\n", "\r\n.\r", "\n.\r\n", "\r.\r", "\r\n.\n", "\r.\r\n", "\n.\r", "\r\n.\r\n", "\r\n\x00.\r\n", "\r\r\n.\r\r\n"} {
		name := strings.NewReplacer("\r", "CR ", "\n", "LF ", "\x00", "NUL ").Replace(end)
		tests = append(tests, row{"smuggling " + name, header + "\nhello" + end + evil, b, "", ""})
		for _, size := range []int{8 << 10, 64 << 10, 1 << 20} {
			for cut := range len(end) + 1 { // the end of the read buffer is within the sequence
				fill := strings.Repeat("x", size-cut-len(header+"\n"))
				tests = append(tests, row{name + " across a buffer", header + "\n" + fill + end + evil, b, "", ""})
			}
		}
	}
	for mode, ext := range map[string][]string{"DATA": {"8BITMIME", "SIZE"}, "BDAT": {"PIPELINING", "CHUNKING"}} {
		for _, tt := range tests {
			t.Run(tt.name+" "+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					is := is.New(t)
					dir, relay, wire := t.TempDir(), &smtptest.Relay{Ext: ext}, &tap{}
					drop(t, dir, "m", tt.text)
					_, stop := start(t, dir, Options{Dial: wire.dial(relay)})
					pass(10 * time.Second)
					stop()
					got := relay.Messages()
					if tt.to == "" {
						is.Equal(len(got), 0) // no message is sent
						is.True(exists(dir, "m") || exists(dir, "failed", "m"))
						return
					}
					is.Equal(len(got), 1) // one message
					want := strings.Split(tt.to, "|")
					slices.Sort(want)
					slices.Sort(got[0].To)
					// to the expected recipients only
					is.Equal(got[0].To, want)
					is.True(!got[0].BareCR && !got[0].BareLF)                                // every line ends in CRLF
					is.True(strings.Contains(string(got[0].Data), tt.has))                   // the content is complete
					is.True(tt.hasNot == "" || !strings.Contains(wire.content(), tt.hasNot)) // without the hidden part
					// with one end of the data
					is.True(mode == "BDAT" || strings.Count(wire.String(), "\r\n.\r\n") == 1)
				})
			})
		}
	}
}

// A tap records the commands and content that a relay gets.
type tap struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *tap) dial(relay *smtptest.Relay) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := relay.Dial(ctx, network, addr)
		return tapped{conn, w}, err
	}
}

func (w *tap) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// content returns the record without the MAIL and RCPT commands.
func (w *tap) content() string {
	var rest []string
	for _, line := range strings.SplitAfter(w.String(), "\r\n") {
		if !strings.HasPrefix(line, "RCPT TO:") && !strings.HasPrefix(line, "MAIL FROM:") {
			rest = append(rest, line)
		}
	}
	return strings.Join(rest, "")
}

type tapped struct {
	net.Conn
	tap *tap
}

func (c tapped) Write(p []byte) (int, error) {
	c.tap.mu.Lock()
	c.tap.text.Write(p)
	c.tap.mu.Unlock()
	return c.Conn.Write(p)
}
