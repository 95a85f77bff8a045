package msgfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// put writes a message file, closed, as old as age.
func put(t *testing.T, text string, age time.Duration) (dir *spooldir.Dir, at time.Time) {
	t.Helper()
	is := is.New(t)
	dir, err := spooldir.New(t.TempDir())
	is.NoErr(err)
	at = time.Now().Add(-age)
	is.NoErr(os.WriteFile(dir.File("m"), []byte(text), 0o600))
	is.NoErr(os.Chtimes(dir.File("m"), at, at))
	return dir, at
}

const from = "From a@example.com Mon Jan  1 10:00:00 2024\n"

var django = header + "Date: d\nMessage-ID: <1@x>\n\nbody\n" + strings.Repeat("-", 79) + "\n"

// TestParser: the fields of a message are read by enmime.
func TestParser(t *testing.T) {
	is := is.New(t)
	dir, _ := put(t, header+"\nbody\n", time.Hour)
	m, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
	is.NoErr(err)
	defer m.Close()
	_, err = m.Addresses()
	is.NoErr(err)
	is.Equal(reflect.ValueOf(m.Header.Parser).Pointer(), reflect.ValueOf(enmime.ParseAddressList).Pointer())
}

// cannotBeSent checks the reason why the addresses of a message are unusable.
func cannotBeSent(t *testing.T, text, want string) {
	t.Helper()
	is := is.New(t)
	dir, _ := put(t, text, time.Hour)
	m, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
	is.NoErr(err)
	_, err = m.Addresses()
	m.Close()
	is.True(errors.Is(err, ErrUnusable))
	is.Equal(err.Error(), "not a message that can be sent: "+want)
}

// The error of a message without a usable sender says so once.
func TestNoSender(t *testing.T) {
	for text, want := range map[string]string{
		"To: b@example.org\n\n":               "no sender: there is no Return-Path, Sender or From",
		"From: root\nTo: b@example.org\n\n":   `sender "root" in From: no domain`,
		"From: (none)\nTo: b@example.org\n\n": "no sender: no address in From",
	} {
		cannotBeSent(t, text, want)
	}
}

// The error of a file in UTF-16 says so: Windows PowerShell writes such files.
func TestNoRecipients(t *testing.T) {
	text := "From: a@example.com\r\nTo: b@example.org\r\n\r\nhi\r\n"
	var little, big strings.Builder
	little.WriteString("\xff\xfe")
	big.WriteString("\xfe\xff")
	for _, c := range []byte(text) {
		little.Write([]byte{c, 0})
		big.Write([]byte{0, c})
	}
	utf16 := "the file is UTF-16 text; a message is ASCII or UTF-8 text"
	for text, want := range map[string]string{
		little.String(): utf16,
		big.String():    utf16,
		"hello\n":       "no recipients: no address in To, Cc, Bcc or an envelope line",
	} {
		cannotBeSent(t, text, want)
	}
}

// TestPickupDots: dots are removed from pickup files only, and only where that is asked for.
func TestPickupDots(t *testing.T) {
	for _, tt := range []struct {
		top   string
		dots  bool
		lines string
	}{
		{"X-Receiver: b@example.org\n", true, ".\r\n.x\r\n"},
		{"X-Receiver: b@example.org\n", false, "..\r\n..x\r\n"},
		{"", true, "..\r\n..x\r\n"},
	} {
		is := is.New(t)
		dir, _ := put(t, tt.top+header+"Date: d\nMessage-ID: <1@x>\n\n..\n..x\n", time.Hour)
		m, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
		is.NoErr(err)
		defer m.Close()
		m.PickupDots = tt.dots
		text, err := io.ReadAll(m.Content(""))
		is.NoErr(err)
		is.True(strings.HasSuffix(string(text), "\r\n\r\n"+tt.lines))
		size, _, err := m.Measure("")
		is.NoErr(err)
		is.Equal(size, int64(len(text)))
	}
}

// TestDate: the file of an old message that was copied into the spool has the old time.
func TestDate(t *testing.T) {
	for age, want := range map[time.Duration]time.Duration{0: 0, 23 * time.Hour: 23 * time.Hour, 25 * time.Hour: 0, -25 * time.Hour: 0} {
		is := is.New(t)
		dir, at := put(t, header+"\nbody\n", age)
		m, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
		is.NoErr(err)
		defer m.Close()
		m.Arrival = at.Add(age) // the time of the call of Put
		text, err := io.ReadAll(m.Content("<x@y>"))
		is.NoErr(err)
		is.True(strings.HasPrefix(string(text), "Date: "+m.Arrival.Add(-want).Format(time.RFC1123Z)+"\r\n"))
	}
}

const header = "From: a@example.com\nTo: b@example.org\n"

func TestOpen(t *testing.T) {
	const settle = spooldir.SettleTime
	envelope := "X-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"b@example.org\"]}\nS: x\n"
	for _, tt := range []struct {
		name, text string
		age        time.Duration
		how        spooldir.How
		want       error
	}{
		{"renamed", header + "\nbody\n", 0, spooldir.Renamed, nil},
		{"linked", header + "\nbody\n", 0, spooldir.Created, nil},
		{"written", header + "\nbody\n", 0, spooldir.Written, spooldir.ErrUnsettled},
		{"written a while ago", header + "\nbody\n", settle, spooldir.Written, nil},
		{"found", header + "\nbody\n", 0, spooldir.Noticed, spooldir.ErrUnsettled},
		{"found, written a while ago", header + "\nbody\n", settle, spooldir.Noticed, nil},
		{"empty, just made", "", 0, spooldir.Created, spooldir.ErrUnsettled},
		{"empty for long", "", time.Hour, spooldir.Created, ErrUnusable},
		{"empty, renamed", "", 0, spooldir.Renamed, ErrUnusable},
		{"linked, no body yet", header + "\n", 0, spooldir.Created, spooldir.ErrUnsettled},
		{"linked, no end of the header yet", header, 0, spooldir.Created, spooldir.ErrUnsettled},
		{"renamed, no body", header + "\n", 0, spooldir.Renamed, nil},
		{"no body for long", header + "\n", time.Hour, spooldir.Noticed, nil},
		{"no end of the header for long", header, time.Hour, spooldir.Noticed, nil},
		{"envelope line and no body, by Put", envelope, 0, spooldir.Noticed, nil},
		{"envelope line and no body", envelope, 0, spooldir.Noticed, spooldir.ErrUnsettled},
		{"envelope line, written in place", envelope, 0, spooldir.Written, spooldir.ErrUnsettled},
		{"broken envelope line", "X-Spoolgore-Envelope: {\n" + header + "\nbody\n", 0, spooldir.Renamed, ErrUnusable},
		{"an mbox file", from + header + "\nbody\n\n" + from + header + "\nbody\n", time.Hour, spooldir.Noticed, ErrSeveral},
		{"a file of Django", django + django, time.Hour, spooldir.Noticed, ErrSeveral},
		{"one message in an mbox file", from + header + "\nbody\n", time.Hour, spooldir.Noticed, nil},
		{"one message in a file of Django", django, time.Hour, spooldir.Noticed, nil},
		{"an envelope line", `X-Spoolgore-Envelope: {"to":["b@x"]}` + "\n" + from + header + "\n\n" + from + header + "\n", time.Hour,
			spooldir.Noticed, nil},
		{"a loop", strings.Repeat("Received: x\n", 51) + header + "\nbody\n", time.Hour, spooldir.Noticed, ErrLoop},
		{"a loop, with an envelope", `X-Spoolgore-Envelope: {"to":["b@x"]}` + "\n" + strings.Repeat("received: x\n", 51) + header, time.Hour,
			spooldir.Noticed, ErrLoop},
		{"a long way", strings.Repeat("Received: x\n", 50) + header + "\nbody\n", time.Hour, spooldir.Noticed, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			dir, _ := put(t, tt.text, tt.age)
			name := "m"
			if strings.HasSuffix(tt.name, "by Put") {
				name = "20261130T064757.272081002-ztsippq44aoy44e2.eml"
				is.NoErr(os.Rename(dir.File("m"), dir.File(name)))
			}
			m, err := Open(dir, name, Look{Now: time.Now(), Settle: settle, How: tt.how})
			is.True(errors.Is(err, tt.want)) // complete files open, and no others
			if err == nil {
				m.Close()
			}
		})
	}
}

func TestOpenWaitsFromTheFirstLookWhereTheFilesClockIsAhead(t *testing.T) {
	is := is.New(t)
	dir, _ := put(t, header, -time.Hour)
	now := time.Now()
	known, err := dir.Stat("m")
	is.NoErr(err)
	look := Look{Known: known, Since: now.Add(-time.Second), Now: now, Settle: spooldir.SettleTime}
	_, err = Open(dir, "m", look)
	is.True(errors.Is(err, spooldir.ErrUnsettled)) // first seen a second ago
	look.Since = now.Add(-spooldir.SettleTime)
	m, err := Open(dir, "m", look)
	is.NoErr(err) // first seen long enough ago
	m.Close()
	look.Known, look.Since = spooldir.ID{}, now.Add(-time.Hour)
	_, err = Open(dir, "m", look)
	is.True(errors.Is(err, spooldir.ErrUnsettled)) // the file has changed since
}

func TestMessageIDIsTheFilesOwn(t *testing.T) {
	is := is.New(t)
	open := func(dir *spooldir.Dir) *File {
		m, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
		is.NoErr(err)
		t.Cleanup(m.Close)
		return m
	}
	dir, _ := put(t, header+"\nbody\n", time.Hour)
	id := open(dir).MessageID("a@example.com", "host")
	is.True(strings.HasSuffix(id, ".spoolgore@example.com>"))             // in the sender's domain
	is.True(strings.HasSuffix(open(dir).MessageID("", "host"), "@host>")) // or the host's
	is.Equal(open(dir).MessageID("a@example.com", "host"), id)            // a retry has the same
	is.NoErr(os.Mkdir(dir.File("failed"), 0o700))
	is.NoErr(os.Rename(dir.File("m"), filepath.Join(dir.File("failed"), "m")))
	is.NoErr(os.Rename(filepath.Join(dir.File("failed"), "m"), dir.File("m")))
	is.Equal(open(dir).MessageID("a@example.com", "host"), id) // also after a return from failed/
	other, _ := put(t, header+"\nbody\n", 2*time.Hour)
	is.True(open(other).MessageID("a@example.com", "host") != id) // the same text in another file is another message
	own, _ := put(t, "Message-ID: <own@x>\n"+header+"\nbody\n", 0)
	is.Equal(open(own).MessageID("a@example.com", "host"), "<own@x>") // a Message-ID in the header is used
}

func TestContentCanBeReadAgain(t *testing.T) {
	is := is.New(t)
	dir, at := put(t, header+"\nbody\n", time.Hour)
	m, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
	is.NoErr(err)
	defer m.Close()
	want := "Date: " + at.Format(time.RFC1123Z) + "\r\nMessage-ID: <x@y>\r\n" +
		strings.ReplaceAll(header, "\n", "\r\n") + "\r\nbody\r\n"
	for range 2 {
		text, err := io.ReadAll(m.Content("<x@y>"))
		is.NoErr(err)
		is.Equal(string(text), want) // the Date comes from the file, so a retry has the same
	}
}

// A Message-ID is kept in memory and in JSON for each message that waits, so it should be short.
func TestMessageIDIsShortAndValid(t *testing.T) {
	long := strings.Repeat("x", 300<<10)
	seen := map[string]bool{}
	for _, id := range []string{"<1@x>", "<caf\xe9@x>", "<caf\xe8@x>", "<caf?@x>", "<" + long + "1@x>", "<" + long + "2@x>"} {
		is := is.New(t)
		dir, _ := put(t, "Message-ID: "+id+"\n"+header+"\nbody\n", time.Hour)
		m, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
		is.NoErr(err)
		got := m.MessageID("a@example.com", "host")
		is.Equal(got, m.MessageID("a@example.com", "host"))
		is.True(len(got) <= maxID && utf8.ValidString(got))
		is.True(!seen[got]) // different messages have different Message-IDs
		seen[got] = true
		m.Close()
	}
	is.New(t).True(seen["<1@x>"])
}
