package message

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

var added = Added{Date: time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600)), MessageID: "<id@x>"}

const (
	dateLine = "Date: Wed, 04 Mar 2026 05:06:07 +0100\r\n"
	idLine   = "Message-ID: <id@x>\r\n"
)

// contentOf returns the message as it goes out.
func contentOf(t testing.TB, text string, add Added) string {
	t.Helper()
	c := headerOf(t, text).Content(strings.NewReader(text), int64(len(text)), add)
	defer c.Close()
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("content of %.80q: %v", text, err)
	}
	return string(out)
}

func TestContent(t *testing.T) {
	const kept = "Date: d\r\nMessage-ID: m\r\n"
	for _, tt := range []struct{ name, text, want string }{
		{"empty file", "", dateLine + idLine + "\r\n"},
		{"no header", "hello\nA: 1\n", dateLine + idLine + "\r\nhello\r\nA: 1\r\n"},
		{"header ends with the file", "Subject: x", dateLine + idLine + "Subject: x\r\n\r\n"},
		{"body only", "\nbody", dateLine + idLine + "\r\nbody\r\n"},
		{"Date there", "Date: d\n\n", idLine + "Date: d\r\n\r\n"},
		{"empty Date there", "date:\n\n", idLine + "date:\r\n\r\n"},
		{"Message-ID there", "message-id : m\n\n", dateLine + "message-id : m\r\n\r\n"},
		{"nothing missing", kept + "\r\nb\r\n", kept + "\r\nb\r\n"},
		{"Bcc", "Bcc: a@x,\n b@x\n\t\n c@x\nSubject: x\n\n", dateLine + idLine + "Subject: x\r\n\r\n"},
		{"text behind the header", kept + "Bcc: a@x\nHello\nBcc: b@x\n", kept + "\r\nHello\r\nBcc: b@x\r\n"},
		{"text behind a line of blanks", kept + " \nHello\nBcc: b@x\n", kept + " \r\n\r\nHello\r\nBcc: b@x\r\n"},
		{"pickup file", "X-Sender: s@x\r\nx-receiver: a@x\r\n" + kept + "X-Receiver: kept@x\n\nb", kept + "X-Receiver: kept@x\r\n\r\nb\r\n"},
		{"all Bcc", "bcc : a@x\n" + kept + "BCC\t:b@x\nResent-BCC: c@x\n\n", kept + "\r\n"},
		{"CR CR LF", "Date: d\r\r\nMessage-ID: m\r\r\n\r\r\nBcc: a@x\r\r\n", kept + "\r\nBcc: a@x\r\n"},
		{"Bcc with lone CRs", kept + "Bcc\r: a@x\n\rb@x\n\n", kept + "\r\n"},
		{"Bcc in the body", kept + "\nBcc: a@x", kept + "\r\nBcc: a@x\r\n"},
		{"other names stay", kept + "Bccx: 1\nX-Bcc: 2\nReturn-Path-X: 3\n\n", kept + "Bccx: 1\r\nX-Bcc: 2\r\nReturn-Path-X: 3\r\n\r\n"},
		{"Return-Path", "Return-Path: <a@x>\n\tx\n" + kept + "\n", kept + "\r\n"},
		{"only Bcc", "Bcc: a@x", dateLine + idLine + "\r\n"},
		{"envelope, BOM, mbox", bom + "X-Spoolgore-Envelope: {\"to\":[\"secret@x\"]}\nFrom a@x Mon\n" + kept + "\nb", kept + "\r\nb\r\n"},
		{"envelope line elsewhere", kept + "X-Spoolgore-Envelope: {}\n\n", kept + "X-Spoolgore-Envelope: {}\r\n\r\n"},
		{"order, folding and spacing", "B:1\n\t 2 \nA  : \nDate: d\nMessage-ID: m\n\n", "B:1\r\n\t 2 \r\nA  : \r\n" + kept + "\r\n"},
		{"line ends", kept + "\na\nb\r\nc\rd\r\r\ne\n\r\nf\r\n\r", kept + "\r\na\r\nb\r\nc d\r\ne\r\n\r\nf\r\n \r\n"},
		{"dots and NUL pass", kept + "\n.\n..a\x00\xff\n", kept + "\r\n.\r\n..a\x00\xff\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(contentOf(t, tt.text, added), tt.want) // the content as it is sent
		})
	}
}

func TestContentHasNoFieldThatWasNotAdded(t *testing.T) {
	is := is.New(t)
	is.Equal(contentOf(t, "A: 1\n\nb", Added{}), "A: 1\r\n\r\nb\r\n") // no Date, no Message-ID
}

// A message that crosses the read buffer is sent like any other.
func TestContentAcrossBuffers(t *testing.T) {
	is := is.New(t)
	for _, end := range []string{"\n", "\r\n", "\r", "\r\r\n", "\r\r", "\n\r", "\r\rx", "x\r\nx", "\r\n\r\n", "\r\r\r\n", "\r\r\n\r\n", strings.Repeat("\r", 2*bufSize) + "\n", strings.Repeat("\r", 2*bufSize) + "x"} {
		for n := bufSize - 4; n <= bufSize+1; n++ {
			body := strings.Repeat("x", n) + end + strings.Repeat("y", 2*bufSize) + end
			text := "A: 1\n\n" + body
			got := contentOf(t, text, Added{})
			is.True(got == "A: 1\r\n\r\n"+naiveBody(body)) // the same as for a short body
			size, _, err := headerOf(t, text).Content(strings.NewReader(text), int64(len(text)), Added{}).Measure()
			is.NoErr(err)
			is.Equal(size, int64(len(got))) // Measure counts the same bytes
		}
	}
}

func TestContentPassesReadErrorsOn(t *testing.T) {
	text := "A: 1\r\n\r\n" + strings.Repeat("line\r\n", 10_000) // sent unchanged
	size := int64(len(text))
	for _, from := range []int64{8192, 20_000, size - 1} {
		is := is.New(t)
		h := headerOf(t, text)
		for file, want := range map[io.ReaderAt]error{
			failing{text, from}:               errDisk,
			strings.NewReader(text[:from]):    io.ErrUnexpectedEOF,
			silentReaderAt{text: text[:from]}: io.ErrUnexpectedEOF,
		} {
			c := h.Content(file, size, Added{})
			out, err := io.ReadAll(c)
			is.True(errors.Is(err, want))   // the read error
			is.True(int64(len(out)) < size) // the content ends early
			_, err = c.Read(make([]byte, 1))
			is.True(errors.Is(err, want)) // the same error again
			is.NoErr(c.Close())
		}
	}
}

// silentReaderAt ends without an error.
type silentReaderAt struct{ text string }

func (r silentReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, _ := strings.NewReader(r.text).ReadAt(p, off)
	return n, nil
}

func TestCloseContent(t *testing.T) {
	is := is.New(t)
	text := "A: 1\n\n" + strings.Repeat("line\n", 10_000)
	c := headerOf(t, text).Content(strings.NewReader(text), int64(len(text)), added)
	_, err := io.ReadFull(c, make([]byte, 1000))
	is.NoErr(err)
	is.NoErr(c.Close())
	is.NoErr(c.Close()) // twice is fine
	n, err := c.Read(make([]byte, 10))
	is.Equal(n, 0)                        // no byte of a buffer that is used again
	is.True(errors.Is(err, fs.ErrClosed)) // an error, not the end of the content
}

func TestFileThatGrewIsSentAsItWas(t *testing.T) {
	is := is.New(t)
	text := "A: 1\n\nbody\n"
	h := headerOf(t, text)
	out, err := io.ReadAll(h.Content(strings.NewReader(text+"more\n"), int64(len(text)), Added{}))
	is.NoErr(err)
	is.Equal(string(out), "A: 1\r\n\r\nbody\r\n") // only the first size bytes
}

func TestMeasure(t *testing.T) {
	is := is.New(t)
	const header = "A: 1\nBcc: \xff@x\n\n"
	for _, at := range []int{-1, 0, 7, 8, bufSize - 1, bufSize, 3*bufSize + 4} {
		body := bytes.Repeat([]byte("x"), 3*bufSize+5)
		if at == 7 || at == 8 {
			body = body[:20] // short enough to be read with the header
		}
		if at >= 0 {
			body[at] = 0x80
		}
		text := header + string(body)
		size, eight, err := headerOf(t, text).Content(strings.NewReader(text), int64(len(text)), Added{MessageID: "<1@x>"}).Measure()
		is.NoErr(err)
		is.Equal(size, int64(len("Message-ID: <1@x>\r\nA: 1\r\n\r\n")+len(body)+2)) // the size of the content as sent
		is.Equal(eight, at >= 0)                                                    // whether it has 8-bit data
	}
	text := header + "body\n"
	_, _, err := headerOf(t, text).Content(strings.NewReader(text), int64(len(text))+1, Added{}).Measure()
	is.True(errors.Is(err, io.ErrUnexpectedEOF)) // a read error comes through
}

// naiveBody converts line ends in the simplest way.
func naiveBody(body string) string {
	body = lineEnds.ReplaceAllString(body, "\n")
	body = strings.ReplaceAll(body, "\r", " ")
	if body != "" && !strings.HasSuffix(body, "\n") {
		body += "\n"
	}
	return strings.ReplaceAll(body, "\n", "\r\n")
}
