package message

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestGroupingOfLines(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		fields     []string // as they go out, without the last CRLF
		body       string
	}{
		{"LF", "A: 1\nB: 2\n\nbody\n", []string{"A: 1", "B: 2"}, "body\n"},
		{"CRLF", "A: 1\r\nB: 2\r\n\r\nbody\r\n", []string{"A: 1", "B: 2"}, "body\r\n"},
		{"folded", "A: 1\n 2\n\t3\nB: 4\n\n", []string{"A: 1\r\n 2\r\n\t3", "B: 4"}, ""},
		{"line of blanks is folded", "A: 1\n \t\nB: 2\n\n", []string{"A: 1\r\n \t", "B: 2"}, ""},
		{"no colon", "A: 1\nhello\nB: 2\n\n", []string{"A: 1"}, "hello\nB: 2\n\n"},
		{"text behind a line of blanks", "A: 1\n \t\nhello\nB: 2\n", []string{"A: 1\r\n \t"}, "hello\nB: 2\n"},
		{"impossible name", "A: 1\nb c: 2\nB: 6\n\n", []string{"A: 1"}, "b c: 2\nB: 6\n\n"},
		{"control character in a name", "A: 1\n\x01: 3\n\n", []string{"A: 1"}, "\x01: 3\n\n"},
		{"8-bit name", "A: 1\n\xfc: 4\n\n", []string{"A: 1"}, "\xfc: 4\n\n"},
		{"a URL", "A: 1\nhttps://x.example/y\nB: 2\n\n", []string{"A: 1"}, "https://x.example/y\nB: 2\n\n"},
		{"no name", "A: 1\n: 5\n\n", []string{"A: 1"}, ": 5\n\n"},
		{"blanks before the colon", "A : 1\nB\t : 2\n\n", []string{"A : 1", "B\t : 2"}, ""},
		{"no blank line", "A: 1\nB: 2\n", []string{"A: 1", "B: 2"}, ""},
		{"no line end", "A: 1\nB: 2", []string{"A: 1", "B: 2"}, ""},
		{"CR at the end of the file", "A: 1\nB: 2\r", []string{"A: 1", "B: 2 "}, ""},
		{"lone CR", "A: 1\rB: 2\n\n", []string{"A: 1 B: 2"}, ""},
		{"lone CR before the colon", "A\r: 1\n\n", []string{"A : 1"}, ""},
		{"lone CR in a name", "A: 1\nB\rC: 2\n\n", []string{"A: 1"}, "B\rC: 2\n\n"},
		{"lone CR in front", "A: 1\n\rB: 2\n\n", []string{"A: 1\r\n B: 2"}, ""},
		{"CR CR LF", "A: 1\r\r\n 2\r\r\nB: 2\r\n\r\r\nC: 3\r\n", []string{"A: 1\r\n 2", "B: 2"}, "C: 3\r\n"},
		{"CR CR CR LF", "A: 1\r\r\r\n\r\r\r\nbody", []string{"A: 1"}, "body"},
		{"NUL and 8-bit", "A: \x00\xff\n\n\x00", []string{"A: \x00\xff"}, "\x00"},
		{"only a blank line", "\nbody", nil, "body"},
		{"empty file", "", nil, ""},
		{"first line no field", "hello\nA: 1\n\n", nil, "hello\nA: 1\n\n"},
		{"first line folded", " A: 1\nB: 2\n\n", nil, " A: 1\nB: 2\n\n"},
		{"first line CR CR LF", "\r\r\nB: 2\n\n", nil, "B: 2\n\n"},
		{"BOM", bom + "A: 1\n\nbody", []string{"A: 1"}, "body"},
		{"only a BOM", bom, nil, ""},
		{"second BOM", bom + bom + "A: 1\n\n", nil, bom + "A: 1\n\n"},
		{"mbox line", "From a@x Mon Jan  1 10:00:00 2024\nA: 1\n\nbody", []string{"A: 1"}, "body"},
		{"mbox line with a CR", "From\ra@x\nA: 1\n\nbody", []string{"A: 1"}, "body"},
		{"second mbox line", "From a\nFrom b\nA: 1\n\n", nil, "From b\nA: 1\n\n"},
		{"mbox lines of several hosts", "From a\n>From b\n>From c\nA: 1\n\n", []string{"A: 1"}, ""},
		{"pickup file", "X-Receiver: a@x\r\nX-Sender: b@x\r\nX-Receiver: c@x,\n d@x\nA: 1\n\nbody", []string{"A: 1"}, "body"},
		{"pickup file with a BOM", bom + "x-receiver : a@x\nA: 1\n\n", []string{"A: 1"}, ""},
		{"pickup file, nothing else", "X-Receiver: a@x\n", nil, ""},
		{"replay file of Exchange", "X-Sender: <a@x>\nX-Receiver: <b@x>\nX-CreatedBy: MSExchange15\nX-HeloDomain: x\nX-EndOfInjectedXHeaders: 9\nA: 1\n", []string{"A: 1"}, ""},
		{"X-Sender alone", "X-Sender: a@x\nA: 1\nX-Receiver: b@x\n\n", []string{"X-Sender: a@x", "A: 1", "X-Receiver: b@x"}, ""},
		{"pickup fields behind an envelope line", "X-Spoolgore-Envelope: {}\nX-Receiver: a@x\n\n", []string{"X-Receiver: a@x"}, ""},
		{"pickup fields behind an mbox line", "From a\nX-Receiver: a@x\n\n", []string{"X-Receiver: a@x"}, ""},
		{"mbox line alone", "From a", nil, ""},
		{"a From field is no mbox line", "From : a@x\n\nbody", []string{"From : a@x"}, "body"},
		{"envelope line", "X-Spoolgore-Envelope: {}\nA: 1\n\nbody", []string{"A: 1"}, "body"},
		{"envelope line, other case", "x-spoolgore-ENVELOPE:{}\r\nA: 1\n\nbody", []string{"A: 1"}, "body"},
		{"BOM, envelope line, BOM, mbox line", bom + "X-Spoolgore-Envelope: {}\n" + bom + "From a\nA: 1\n\nbody", []string{"A: 1"}, "body"},
		{"envelope line is never folded", "X-Spoolgore-Envelope: {}\n b\nA: 1\n\n", nil, " b\nA: 1\n\n"},
		{"envelope line alone", "X-Spoolgore-Envelope: {}", nil, ""},
		{"second envelope line", "X-Spoolgore-Envelope: {}\nX-Spoolgore-Envelope: {}\n\n", []string{"X-Spoolgore-Envelope: {}"}, ""},
		{"envelope line too late", "A: 1\nX-Spoolgore-Envelope: {}\n\n", []string{"A: 1", "X-Spoolgore-Envelope: {}"}, ""},
		{"envelope line behind an mbox line", "From a\nX-Spoolgore-Envelope: {}\n\n", []string{"X-Spoolgore-Envelope: {}"}, ""},
		{"blank before the envelope's colon", "X-Spoolgore-Envelope : {}\n\n", []string{"X-Spoolgore-Envelope : {}"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			h := headerOf(t, tt.text)
			var fields []string
			for _, f := range h.fields {
				fields = append(fields, strings.TrimSuffix(string(f.text), "\r\n"))
			}
			is.Equal(fields, tt.fields)         // fields
			is.Equal(tt.text[h.body:], tt.body) // where the body begins
		})
	}
}

func TestGet(t *testing.T) {
	is := is.New(t)
	h := headerOf(t, "Subject:  one\n\ttwo  \n three\nsubject: four\nMessage-ID : <a@x>\nEmpty:\n\nTo: body")
	is.Equal(h.Get("SUBJECT"), "one two three") // the first, unfolded and trimmed
	is.Equal(h.Get("message-id"), "<a@x>")      // blank before the colon
	is.Equal(h.Get("Empty"), "")                // empty
	is.Equal(h.Get("To"), "")                   // absent
	is.Equal(h.Get("Sub"), "")                  // not the beginning of a name
}

func TestComplete(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "A: 1": false, "A: 1\n": false, "A: 1\n\n": false, "A: 1\n\r\n": false, "\n": false,
		"A: 1\n\nb": true, "A: 1\r\n\r\nb": true, "\nb": true, "A: 1\n\n\n": true, "A: 1\r\n\r\r\nb": true, "A: 1\nb": true,
		"hello\n\nb": true, "X-Spoolgore-Envelope: {}\n": false, "X-Spoolgore-Envelope: {}\nA: 1\n\nb": true,
	} {
		t.Run(text, func(t *testing.T) {
			is := is.New(t)
			is.Equal(headerOf(t, text).Complete(), want) // blank line and one byte behind it
		})
	}
}

func TestEightBit(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "A: 1\n\nb\xff": false, "A: 12345678\n\n": false,
		"A: 1\nB: \xff\n\n": true, "A: 1\n 234567890123\xc3\xbc45\n\n": true,
		"A: 1\nBcc: \xff\n\n": false, "Return-Path: \xff\nA: 1\n": false, "hello \xff\n": false,
		"X-Spoolgore-Envelope: \xff\nA: 1\n\n": false,
	} {
		t.Run(text, func(t *testing.T) {
			is := is.New(t)
			is.Equal(headerOf(t, text).EightBit(), want) // only the content as sent counts
		})
	}
}

func TestHeaderLimit(t *testing.T) {
	fill := func(n int) string { return "A: " + strings.Repeat("x", n-4) + "\n" }
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"blank line just within", fill(MaxHeader-1) + "\nbody", true},
		{"blank line CR LF just within", fill(MaxHeader-2) + "\r\nbody", true},
		{"blank line one too far", fill(MaxHeader) + "\nbody", false},
		{"blank line CR LF cut", fill(MaxHeader-1) + "\r\nbody", false},
		{"file just as long", fill(MaxHeader), true},
		{"one line, too long", fill(2 * MaxHeader), false},
		{"many lines", strings.Repeat("A: 1\n", MaxHeader/4), false},
		{"envelope line included", "X-Spoolgore-Envelope: {}\n" + fill(MaxHeader-10) + "\nbody", false},
		{"envelope line too long", "X-Spoolgore-Envelope: {" + strings.Repeat(" ", MaxHeader) + "}\n\n", false},
		{"mbox line too long", "From " + strings.Repeat(" ", MaxHeader) + "\nA: 1\n\n", true},
		{"top block too long", strings.Repeat("X-Receiver: a@x\n", MaxHeader/16+1) + "\nbody", false},
		{"junk without lines", strings.Repeat("\x00", 2*MaxHeader), true},
		{"text without a header", "hello\n" + strings.Repeat("x", 2*MaxHeader), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			_, err := ReadHeader(strings.NewReader(tt.text), int64(len(tt.text)))
			if tt.ok {
				is.NoErr(err) // within the limit
			} else {
				is.True(errors.Is(err, ErrHeaderTooLong)) // over the limit
			}
		})
	}
}

// failing is a file with a read error from an offset on.
type failing struct {
	text string
	from int64
}

var errDisk = errors.New("disk is sick")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) <= f.from {
		return strings.NewReader(f.text).ReadAt(p, off)
	}
	n := 0
	if off < f.from {
		n = copy(p, f.text[off:f.from])
	}
	return n, errDisk
}

func TestReadHeaderNeverShortensSilently(t *testing.T) {
	text := "To: a@x,\n" + strings.Repeat(" b@x,\n", 3000) + " c@x\n\nbody"
	for _, from := range []int64{0, 5, 8192, 9000} {
		is := is.New(t)
		_, err := ReadHeader(failing{text, from}, int64(len(text)))
		is.True(errors.Is(err, errDisk)) // the read error comes through

		_, err = ReadHeader(strings.NewReader(text[:from]), int64(len(text)))
		is.True(errors.Is(err, io.ErrUnexpectedEOF)) // a file that became shorter is an error
	}
}

// counting counts the calls of ReadAt.
type counting struct {
	io.ReaderAt
	calls int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.calls++
	return c.ReaderAt.ReadAt(p, off)
}

func TestSmallMessageIsReadAtOnce(t *testing.T) {
	is := is.New(t)
	text := "A: 1\n\n" + strings.Repeat("x", 1<<20)
	f := &counting{ReaderAt: strings.NewReader(text)}
	_, err := ReadHeader(f, int64(len(text)))
	is.NoErr(err)
	is.Equal(f.calls, 1) // one ReadAt, whatever the length of the body
}

func TestHeaderOfARealFileSurvivesTheBuffer(t *testing.T) {
	is := is.New(t)
	name := filepath.Join(t.TempDir(), "one.eml")
	is.NoErr(os.WriteFile(name, []byte("X-Spoolgore-Envelope: {\"from\":\"f@x\",\"to\":[\"a@x\"]}\nSubject: one\n\nbody"), 0o600))
	f, err := os.Open(name)
	is.NoErr(err)
	defer f.Close()
	fi, err := f.Stat()
	is.NoErr(err)
	h, err := ReadHeader(f, fi.Size())
	is.NoErr(err)
	b := buffers.Get().(*[bufSize]byte) // most likely the buffer that was just used
	copy(b[:], bytes.Repeat([]byte("!"), bufSize))
	buffers.Put(b)
	is.Equal(h.Get("Subject"), "one")       // Get returns a copy
	is.Equal(h.Addresses().From, "f@x")     // of the envelope, too
	is.Equal(show(h.Addresses().To), "a@x") // and the recipient
}
