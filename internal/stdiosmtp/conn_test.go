package stdiosmtp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
)

// TestChunk: BDAT (RFC 3030) is not offered, and a chunk is taken neither for a message nor for commands. The server of
// go-smtp would take an incomplete chunk for a whole message.
func TestChunk(t *testing.T) {
	const envelope = "MAIL FROM:<f@x>\r\nRCPT TO:<a@x>\r\n"
	for _, chunk := range []string{
		"BDAT 1000 LAST\r\nSubject: cut off\r\n",
		"BDAT 4\r\nA: bBDAT 4 LAST\r\n\r\n\r\n",
		"bdat 37 last\r\n" + begin + ".\r\n",
		"BDAT",
		"BDAT\t4\r\nQUIT",
		"BDAT 0 LAST\n",
	} {
		is := is.New(t)
		var got store
		var out strings.Builder
		err := got.server().Serve(strings.NewReader("EHLO c\r\n"+envelope+chunk), &out)
		is.Equal(len(got), 0)
		is.Equal(err != nil, chunk != "BDAT")                        // a line without an end is no command
		is.True(err == nil || errors.Is(err, ErrChunk))              // the caller gets ErrChunk
		is.Equal(strings.Contains(out.String(), "502 "), err != nil) // and the client gets 502
		is.True(!strings.Contains(out.String(), "CHUNKING"))
		is.True(!strings.Contains(out.String(), "354 "))
	}
}

// TestGivenUp: if the server ends a session, Serve returns an error, and the rest of the session is not executed.
func TestGivenUp(t *testing.T) {
	is := is.New(t)
	var got store
	var out strings.Builder
	err := got.server().Serve(strings.NewReader(strings.Repeat("NONSENSE\r\n", 10)+begin+".\r\n"), &out)
	is.True(errors.Is(err, ErrGivenUp))
	is.Equal(len(got), 0)
	is.NoErr(got.server().Serve(strings.NewReader(strings.Repeat("NONSENSE\r\n", 3)+begin+".\r\nquit\r\n"+begin), &out))
	is.Equal(len(got), 1) // no command after QUIT is executed
}

// TestPanic: a panic is an error of the session, and no part of a message is accepted.
func TestPanic(t *testing.T) {
	is := is.New(t)
	var got store
	server := got.server()
	server.Accept = func(message.Envelope, io.Reader) error { panic("a fault") }
	var out strings.Builder
	err := server.Serve(strings.NewReader(begin+"a\r\n.\r\nNOOP\r\n"), &out)
	is.True(err != nil && strings.Contains(err.Error(), "a fault"))
	is.True(strings.HasSuffix(out.String(), "\r\n421 4.0.0 Internal server error\r\n"))
}

// TestHalfRead: a message that Accept did not read to its end is accepted only if it has an end of the data.
func TestHalfRead(t *testing.T) {
	is := is.New(t)
	var got store
	server := got.server()
	server.Accept = func(message.Envelope, io.Reader) error { return nil }
	var out strings.Builder
	is.True(errors.Is(server.Serve(strings.NewReader(begin+"a\r\n.\r\n"+begin+"a\r\n"), &out), ErrCutOff))
	is.Equal(strings.Count(out.String(), queued), 1)
}

// TestSize: the announced limit applies to the SIZE of a client. Only Accept limits the content itself.
func TestSize(t *testing.T) {
	is := is.New(t)
	var got store
	server := got.server()
	server.MaxSize = 10
	var out strings.Builder
	large := begin + strings.Repeat("x", 100) + "\r\n.\r\n"
	err := server.Serve(strings.NewReader("EHLO c\r\nMAIL FROM:<f@x> SIZE=11\r\n"+large+"MAIL FROM:<f@x> SIZE=11\r\nMAIL FROM:<f@x> SIZE=10\r\n"), &out)
	is.NoErr(err)
	is.Equal(len(got), 1)
	is.True(strings.Contains(out.String(), "SIZE 10\r\n"))
	is.Equal(strings.Count(out.String(), "\r\n552 5.3.4 "), 2) // once for SIZE, once for the content
}

// TestTwoMails: a second MAIL does not replace the first one, whose recipients the server would keep.
func TestTwoMails(t *testing.T) {
	is := is.New(t)
	var got store
	var out strings.Builder
	is.NoErr(got.server().Serve(strings.NewReader("MAIL FROM:<f@x>\r\nRCPT TO:<a@x>\r\nMAIL FROM:<g@x>\r\nDATA\r\n.\r\n"+
		"MAIL FROM:<f@x>\r\nRCPT TO:<b@x>\r\nRSET\r\n"+begin+".\r\n"), &out))
	is.Equal(got, store{"f@x>a@x: ", "f@x>a@x: "})
	is.Equal(strings.Count(out.String(), "\r\n503 5.5.1 "), 1)
}

// TestLoneCR: a CR that ends no line hides neither the end of the data nor a doubled dot.
func TestLoneCR(t *testing.T) {
	is := is.New(t)
	var got store
	is.NoErr(got.server().Serve(strings.NewReader(begin+"a\r\r\n..b\r\n.\r\r\n.\r\n"+begin+"\r\r\n.\r\n"), io.Discard))
	is.Equal(got, store{"f@x>a@x: a\r\n.b\r\n.\r\n", "f@x>a@x: \r\n"})
}

// TestCRCRLF: all lines end in CR CR LF, commands too. In a session whose lines end in CRLF, a dot before CR CR LF is
// content.
func TestCRCRLF(t *testing.T) {
	is := is.New(t)
	var got store
	session := strings.ReplaceAll(begin+"a\r\n\r\n..b\r\n.\r\nQUIT\r\n", "\r\n", "\r\r\n")
	is.NoErr(got.server().Serve(strings.NewReader(session), io.Discard))
	is.Equal(got, store{"f@x>a@x: a\r\n\r\n.b\r\n"})
	got = nil
	is.NoErr(got.server().Serve(strings.NewReader(begin+"a\r\n.\r\r\nMAIL FROM:<g@x>\r\r\n.\r\n"), io.Discard))
	is.Equal(got, store{"f@x>a@x: a\r\n.\r\nMAIL FROM:<g@x>\r\n"})
}

// TestDotBeforeThousandsOfCRs: a dot and more CRs than a buffer holds do not end a message, whose text could hold
// commands then.
func TestDotBeforeThousandsOfCRs(t *testing.T) {
	for _, n := range []int{1, 2, longest - 2, longest - 1, longest, longest + 1, 2*longest - 2, 2 * longest, 3*longest + 7} {
		for _, slow := range []bool{false, true} {
			is := is.New(t)
			var in io.Reader = strings.NewReader(begin + "a\r\n." + strings.Repeat("\r", n) + "\r\nMAIL FROM:<g@x>\r\n.\r\n" + begin + ".\r\n")
			if slow {
				in = iotest.OneByteReader(in)
			}
			var got store
			is.NoErr(got.server().Serve(in, io.Discard))
			is.Equal(len(got), 2)
			is.True(strings.HasSuffix(got[0], "\r\nMAIL FROM:<g@x>\r\n")) // the commands are text
		}
	}
}

// FuzzContent: any content is accepted unchanged, except that a CR that ends no line becomes a space, as a relay would
// get it. The text after the content is a command again.
func FuzzContent(f *testing.F) {
	for _, text := range []string{"", ".", "..\r\n.", "a\r\r\n.\r\n", "\r.\r", "\n.\n", "MAIL FROM:<root>\r\nBDAT 5 LAST\r\n", "QUIT\n", ".\r\r\n.\r\n\r"} {
		f.Add([]byte(text), false, false)
		f.Add([]byte(text), true, true)
	}
	f.Add(append(bytes.Repeat([]byte("x"), longest-1), "\r\n.\r\n"...), false, false)
	f.Add(append(bytes.Repeat([]byte("x"), longest-1), "\r\r\n"...), false, false)
	f.Add(append(bytes.Repeat([]byte("x"), longest-2), "\r\r\n"...), false, false)
	f.Fuzz(func(t *testing.T, text []byte, lf, slow bool) {
		end := "\r\n"
		if lf {
			end = "\n"
		}
		content := string(text)
		if content != "" && !strings.HasSuffix(content, end) {
			content += end
		}
		commands := strings.ReplaceAll(begin, "\r\n", end)
		stuffed := strings.ReplaceAll(end+content, end+".", end+"..")[len(end):]
		var in io.Reader = strings.NewReader(commands + stuffed + "." + end + commands + "." + end)
		if slow {
			in = iotest.OneByteReader(in)
		}
		var got store
		if err := got.server().Serve(in, io.Discard); err != nil {
			t.Fatal(err)
		}
		if want := "f@x>a@x: " + asSent(content, lf); len(got) != 2 || got[0] != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// asSent returns content as sent to a relay, except that LF is kept within lines that end in CRLF.
func asSent(content string, lf bool) string {
	var b strings.Builder
	for i := range len(content) {
		behind := strings.TrimLeft(content[i+1:], "\r")
		switch {
		case content[i] == '\r' && strings.HasPrefix(content[i+1:], "\n"):
			b.WriteByte('\r')
		case content[i] == '\r' && strings.HasPrefix(behind, "\n"): // one of several CRs before the LF
		case content[i] == '\r':
			b.WriteByte(' ')
		case content[i] == '\n' && lf && !strings.HasSuffix(content[:i], "\r"):
			b.WriteString("\r\n")
		default:
			b.WriteByte(content[i])
		}
	}
	return b.String()
}
