package mbox

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/matryer/is"
)

const (
	header = "From: a@x\nTo: b@x\nDate: d\nMessage-ID: <1@x>\nSubject: s\n\n"
	from   = "From a@x Mon Jan  1 10:00:00 2024\n"
)

// split returns the messages of a file.
func split(t *testing.T, r io.Reader, kind Kind) (messages []string) {
	t.Helper()
	s := NewSplitter(r, kind)
	for {
		m, err := s.Next()
		if err == io.EOF {
			return messages
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(m)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, string(text))
	}
}

func TestDetectAndSplit(t *testing.T) {
	line := dashes + "\n"
	for _, tt := range []struct {
		name, text string
		kind       Kind
		want       []string // of an mbox or Django file
	}{
		{"empty", "", Single, nil},
		{"a message", header + "text\n", Single, nil},
		{"one in an mbox", from + header + "text\n", Single, nil},
		{"two in an mbox", from + header + "text\n\n" + from + header + "more\n\n", Mbox, []string{header + "text\n", header + "more\n"}},
		{"no empty line between them", from + header + "text\n" + from + header, Mbox, []string{header + "text\n", strings.TrimSuffix(header, "\n")}},
		{"CRLF", strings.ReplaceAll(from+header+"text\n\n"+from+header+"more\n\n", "\n", "\r\n"), Mbox,
			[]string{strings.ReplaceAll(header+"text\n", "\n", "\r\n"), strings.ReplaceAll(header+"more\n", "\n", "\r\n")}},
		{"Thunderbird", "From - Mon Jan 01 10:00:00 2024\n" + header + "a\n\nFrom - Mon Jan 01 10:00:00 2024\n" + header + "b\n", Mbox, []string{header + "a\n", header + "b\n"}},
		{"quoted lines", from + header + ">From x\n>>From y\n> From z\n\n" + from + header + "b\n", Mbox, []string{header + "From x\n>From y\n> From z\n", header + "b\n"}},
		{"lines of an earlier host", from + header + "a\n\n" + from + ">From b@y Mon Jan  1 10:00:00 2024\n" + header + "b\n", Mbox,
			[]string{header + "a\n", "From b@y Mon Jan  1 10:00:00 2024\n" + header + "b\n"}},
		{"several empty lines", from + header + "a\n\n\n\n" + from + header + "b\n\n\n", Mbox, []string{header + "a\n\n\n", header + "b\n\n"}},
		{"a BOM", "\uFEFF" + from + header + "a\n\n" + from + header + "b\n", Mbox, []string{header + "a\n", header + "b\n"}},
		{"text that begins with From", from + header + "Hello,\n\nFrom Monday on it is 10:00 there\nA: b\n\nFrom here on\n", Single, nil},
		{"a separator without a header", from + header + "Hello,\n\n" + from + "and so on\n", Single, nil},
		{"a separator in a message", header + "Hello,\n\n" + from + header + "text\n", Single, nil},
		{"one of Django", header + "text\n" + line, Single, nil},
		{"two of Django", header + "text\n" + line + header + "more\n" + line, Django, []string{header + "text\n", header + "more\n"}},
		{"three of Django", header + "a\n" + line + header + "b\n" + line + header + line, Django, []string{header + "a\n", header + "b\n", header}},
		{"two of Django, CRLF", strings.ReplaceAll(header+"text\n"+line+header+"more\n"+line, "\n", "\r\n"), Django,
			[]string{strings.ReplaceAll(header+"text\n", "\n", "\r\n"), strings.ReplaceAll(header+"more\n", "\n", "\r\n")}},
		{"dashes in a text", header + "a\n" + line + "Total: 5\n" + line, Single, nil},
		{"dashes around a quoted message", header + "a\n" + line + "From: a@x\nTo: b@x\n\ntext\n" + line, Single, nil},
		{"80 dashes", header + "a\n-" + line + header + "b\n-" + line, Single, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			kind, err := Detect(strings.NewReader(tt.text), int64(len(tt.text)))
			is.NoErr(err)
			is.Equal(kind, tt.kind)
			if tt.want != nil {
				is.Equal(split(t, strings.NewReader(tt.text), kind), tt.want)
				// the same for reads of any size
				is.Equal(split(t, iotest.OneByteReader(strings.NewReader(tt.text)), kind), tt.want)
			} else if tt.text != "" {
				is.Equal(split(t, strings.NewReader(tt.text), kind), []string{tt.text}) // one message, unchanged
			}
		})
	}
}

func TestLongLinesAreKept(t *testing.T) {
	is := is.New(t)
	long := header + strings.Repeat("x", 3*maxLine) + "\n" + strings.Repeat("From ", maxLine) + "\n" + strings.Repeat("-", 2*maxLine) + "\n"
	is.Equal(split(t, strings.NewReader(from+long+"\n"+from+long), Mbox), []string{long, long})
	is.Equal(split(t, strings.NewReader(long+dashes+"\n"+long+dashes+"\n"), Django), []string{long, long})
}

func TestAnMboxWithOneMessageLosesItsSeparator(t *testing.T) {
	is := is.New(t)
	is.Equal(split(t, strings.NewReader(from+header+"a\n"), Mbox), []string{header + "a\n"})
	is.Equal(len(split(t, strings.NewReader(from), Mbox)), 0)
	is.Equal(len(split(t, strings.NewReader("\n\n"+dashes+"\n"), Django)), 1) // a message without text
}

func TestReadErrors(t *testing.T) {
	is := is.New(t)
	broken := errors.New("broken")
	for _, text := range []string{"", from, from + header, from + header + "a\n" + from + header} {
		s := NewSplitter(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), Mbox)
		var err error
		for err == nil {
			var m io.Reader
			if m, err = s.Next(); err == nil {
				_, err = io.Copy(io.Discard, m)
			}
		}
		is.True(errors.Is(err, broken)) // the read error is not the end of a message
	}
	_, err := Detect(strings.NewReader("x"), 1000)
	is.True(errors.Is(err, io.ErrUnexpectedEOF)) // the file became shorter
}

// No byte of a message is lost or added, except separators, quoting and the empty lines of the mbox format.
func FuzzSplit(f *testing.F) {
	f.Add(from+header+"a\n\n"+from+header+"b\n", 1)
	f.Add(header+"a\n"+dashes+"\n"+header+"b\n"+dashes+"\n", 2)
	f.Add("From \r\n\r\n\n>From x\n", 1)
	f.Fuzz(func(t *testing.T, text string, k int) {
		kind := Kind(uint(k) % 3)
		all := strings.Join(split(t, strings.NewReader(text), kind), "")
		if kind == Single && all != text {
			t.Fatalf("%q became %q", text, all)
		}
		at := 0
		for i := range len(all) {
			n := strings.IndexByte(text[at:], all[i])
			if n < 0 {
				t.Fatalf("%q has more than %q", all, text)
			}
			at += n + 1
		}
	})
}
