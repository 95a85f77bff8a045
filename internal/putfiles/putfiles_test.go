package putfiles

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	header = "From: f@x\nTo: a@x\nBcc: b@x\nDate: d\nMessage-ID: <1@x>\n\n"
	from   = "From a@x Mon Jan  1 10:00:00 2024\n"
)

// put puts a file with that text, and returns the messages in the spool in the order of their names.
func put(t *testing.T, text string, o Options) (messages []string, err error) {
	t.Helper()
	spool, path := filepath.Join(t.TempDir(), "spool"), filepath.Join(t.TempDir(), "m.eml")
	for _, err := range []error{os.Mkdir(spool, 0o700), os.WriteFile(path, []byte(text), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, err := spooldir.New(spool)
	if err != nil {
		t.Fatal(err)
	}
	names, err := Put(dir, path, o)
	for _, name := range names {
		text, readErr := os.ReadFile(dir.File(name))
		if readErr != nil {
			t.Fatal(readErr)
		}
		messages = append(messages, withoutReceived(t, string(text), name))
	}
	entries, readErr := os.ReadDir(spool)
	if readErr != nil {
		t.Fatal(readErr)
	}
	files := 0
	for _, e := range entries {
		if e.Type().IsRegular() {
			files++
		}
	}
	if files != len(names) {
		t.Fatalf("%d files in the spool, %d names", files, len(names))
	}
	return messages, err
}

// withoutReceived returns a message without the Received field that put has added in front of the header.
func withoutReceived(t *testing.T, text, name string) string {
	t.Helper()
	form := regexp.MustCompile(`(?m)^Received: from localhost by localhost( \(uid \d+\))?\n\tid (\S+);\n\t.*\n`)
	at := form.FindStringSubmatchIndex(text)
	if at == nil || text[at[4]:at[5]] != name {
		t.Fatalf("no Received field with the name %s in %q", name, text)
	}
	if before := text[:at[0]]; before != "" && !strings.HasPrefix(before, "X-Spoolgore-Envelope:") {
		t.Fatalf("Received is not the first field of the header: %q", text)
	}
	return text[:at[0]] + text[at[1]:]
}

func pointer[T any](v T) *T { return &v }

func TestPut(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	dashes := strings.Repeat("-", 79) + "\n"
	for _, tt := range []struct {
		name, text string
		o          Options
		want       []string
	}{
		{"a message as it is", header + "text\n", Options{}, []string{header + "text\n"}},
		{"CRLF and NUL", "From: f@x\r\nTo: a@x\r\n\r\n\x00.\r\n", Options{}, []string{"From: f@x\r\nTo: a@x\r\n\r\n\x00.\r\n"}},
		{"an mbox file", from + header + "a\n\n" + from + header + "b\n", Options{}, []string{header + "a\n", header + "b\n"}},
		{"an mbox file of one message", from + header + ">From x\n", Options{Mbox: true}, []string{header + "From x\n"}},
		{"a file of Django", header + "a\n" + dashes + header + "b\n" + dashes, Options{}, []string{header + "a\n", header + "b\n"}},
		{"sender and recipients", header + "a\n", Options{From: pointer("Shop <s@x>"), To: []string{"c@x, d@x", "e..f@x"}},
			[]string{`X-Spoolgore-Envelope: {"from":"s@x","to":["c@x","d@x","\"e..f\"@x"]}` + "\n" + header + "a\n"}},
		{"null sender", header, Options{From: pointer("<>")}, []string{`X-Spoolgore-Envelope: {"from":"","to":["a@x","b@x"]}` + "\n" + header}},
		{"times and priority", header, Options{Expire: at, NotBefore: at, Priority: pointer(3)},
			[]string{`X-Spoolgore-Envelope: {"from":"f@x","to":["a@x","b@x"],"notBefore":"2030-01-02T03:04:05Z","expire":"2030-01-02T03:04:05Z","priority":3}` + "\n" + header}},
		{"an envelope line stays", `X-Spoolgore-Envelope: {"from":"","to":["z@x"],"notify":["NEVER"],"priority":2}` + "\n" + header, Options{},
			[]string{`X-Spoolgore-Envelope: {"from":"","to":["z@x"],"notify":["NEVER"],"priority":2}` + "\n" + header}},
		{"an option changes an envelope line", `X-Spoolgore-Envelope: {"from":"","to":["z@x"],"notify":["NEVER"],"priority":2}` + "\n" + header, Options{To: []string{"c@x"}},
			[]string{`X-Spoolgore-Envelope: {"from":"","to":["c@x"],"priority":2}` + "\n" + header}},
		{"a pickup file", "X-Sender: s@x\nX-Receiver: z@x\n" + header, Options{}, []string{`X-Spoolgore-Envelope: {"from":"s@x","to":["z@x"]}` + "\n" + header}},
		{"a bad recipient", "From: f@x\nTo: a@x, nobody\n\n", Options{Priority: pointer(1)},
			[]string{`X-Spoolgore-Envelope: {"from":"f@x","to":["a@x","nobody"],"priority":1}` + "\nFrom: f@x\nTo: a@x, nobody\n\n"}},
		{"no sender needed", "To: a@x\n\n", Options{From: pointer("f@x")}, []string{`X-Spoolgore-Envelope: {"from":"f@x","to":["a@x"]}` + "\nTo: a@x\n\n"}},
		{"text that begins with a blank", " hello\nTo: b@x\n", Options{From: pointer("f@x"), To: []string{"a@x"}},
			[]string{`X-Spoolgore-Envelope: {"from":"f@x","to":["a@x"]}` + "\n\n hello\nTo: b@x\n"}},
		{"no mbox file", "To: a@x\n" + header + "a\n", Options{Mbox: true}, []string{"To: a@x\n" + header + "a\n"}},
		{"no mbox file, but a field", "From : f@x\nTo: a@x\n\na\n", Options{Mbox: true}, []string{"From : f@x\nTo: a@x\n\na\n"}},
		{"text without a header", "hello\n", Options{From: pointer("f@x"), To: []string{"a@x"}}, []string{`X-Spoolgore-Envelope: {"from":"f@x","to":["a@x"]}` + "\nhello\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			got, err := put(t, tt.text, tt.o)
			is.NoErr(err)
			is.Equal(got, tt.want)
		})
	}
}

// If one message of a file cannot be put, no message is.
func TestPutRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		o          Options
		say        string
	}{
		{"no sender", "To: a@x\n\n", Options{}, "-from sets a sender"},
		{"no recipient", "From: f@x\n\n", Options{}, "-to sets recipients"},
		{"the second of two", from + header + "\n" + from + "From: f@x\n\n", Options{}, "message 2: no recipient"},
		{"empty", "", Options{}, "no message"},
		{"only a separator", from, Options{Mbox: true}, "no message"},
		{"bad -from", header, Options{From: pointer("nobody")}, `-from "nobody": no domain`},
		{"two in -from", header, Options{From: pointer("a@x, b@x")}, "not one address"},
		{"bad -to", header, Options{To: []string{"a@x", "nobody"}}, `-to "nobody": no domain`},
		{"empty -to", header, Options{To: []string{""}}, "-to: no address"},
		{"a broken envelope line", "X-Spoolgore-Envelope: {\n" + header, Options{}, "envelope line"},
		{"a header without end", strings.Repeat("A: b\n", message.MaxHeader/5+1) + "\n", Options{}, message.ErrHeaderTooLong.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			got, err := put(t, tt.text, tt.o)
			is.True(err != nil)
			is.True(strings.Contains(err.Error(), tt.say)) // the mistake, and what to do
			is.Equal(len(got), 0)
		})
	}
}

func TestPutOfNoFile(t *testing.T) {
	is := is.New(t)
	dir, err := spooldir.New(t.TempDir())
	is.NoErr(err)
	_, err = Put(dir, filepath.Join(t.TempDir(), "missing"), Options{})
	is.True(os.IsNotExist(err))
	_, err = Put(dir, t.TempDir(), Options{})
	is.True(strings.Contains(err.Error(), "not a regular file"))
}

func TestALargeMessageIsPutWhole(t *testing.T) {
	is := is.New(t)
	text := header + strings.Repeat(strings.Repeat("x", 99)+"\n", 50_000)
	got, err := put(t, from+text+"\n"+from+text, Options{})
	is.NoErr(err)
	is.Equal(len(got), 2)
	is.True(got[0] == text && got[1] == text)
}
