package stdiosmtp

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
)

// store has the accepted messages, each as "from>to,to: content".
type store []string

func (s *store) server() *Server {
	same := func(path string) (string, error) { return path, nil }
	return &Server{
		Name: "host.example", Sender: same,
		Recipients: func(path string) ([]string, error) { return strings.Split(path, "+"), nil },
		Accept: func(env message.Envelope, content io.Reader) error {
			text, err := io.ReadAll(content)
			if err == nil {
				*s = append(*s, fmt.Sprintf("%s>%s: %s", env.From, strings.Join(env.To, ","), text))
			}
			return err
		},
	}
}

const queued = "250 2.0.0 OK: queued" // the reply of the server

const begin = "MAIL FROM:<f@x>\r\nRCPT TO:<a@x>\r\nDATA\r\n"

// If a session ends anywhere, each accepted message is complete and has a reply. The sizes of the reads make no
// difference.
func TestEveryPrefix(t *testing.T) {
	long := strings.Repeat("x", longest-1) + "\r\n." + strings.Repeat("y", 2*longest) + "\r\n"
	session := "EHLO c\r\n" + begin + "A: b\r\n\r\n..\r\n...\r\n\n.\n\r.\r\n" + "\r\n.\r\n" + begin + ".\r\n" + begin + long + ".\r\nQUIT\r\n"
	whole := store{"f@x>a@x: A: b\r\n\r\n.\r\n..\r\n\n.\n .\r\n\r\n", "f@x>a@x: ", "f@x>a@x: " + strings.Replace(long, "\n.", "\n", 1)}
	for n := 0; n <= len(session); n++ {
		if n == strings.Index(session, "xx") {
			n += len(long) - 100 // the same line continues
		}
		is := is.New(t)
		var got store
		var out strings.Builder
		err := got.server().Serve(iotest.OneByteReader(strings.NewReader(session[:n])), &out)
		is.True(slices.Equal(got, whole[:len(got)]))            // each accepted message is complete
		is.Equal(strings.Count(out.String(), queued), len(got)) // and no other message has a reply
		within := strings.Count(out.String(), "354 ") > len(got)
		is.Equal(errors.Is(err, ErrCutOff), within) // the end of the input within a message is an error
		is.Equal(err != nil, within)
	}
	is := is.New(t)
	var got store
	is.NoErr(got.server().Serve(strings.NewReader(session), io.Discard))
	is.Equal(got, whole)
}

// If the first line ends in LF, so do all lines. In a message they become CRLF, or the server would not find the end of
// the data.
func TestBareLF(t *testing.T) {
	is := is.New(t)
	var got store
	lf := strings.ReplaceAll(begin, "\r", "")
	is.NoErr(got.server().Serve(strings.NewReader(lf+"..\n.x\n\r\n.\n"+lf+".\r\nQUIT\n"), io.Discard))
	is.Equal(got, store{"f@x>a@x: .\r\nx\r\n\r\n", "f@x>a@x: "}) // with CRLF, as in the content that is sent
}

// If the client does not read the replies, the session goes on.
func TestRepliesThatCannotBeWritten(t *testing.T) {
	is := is.New(t)
	var got store
	is.NoErr(got.server().Serve(strings.NewReader(begin+".\r\n"), brokenWriter{}))
	is.Equal(len(got), 1)
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// A message that is refused early is read to its end, and the next message is accepted.
func TestRefusedMessage(t *testing.T) {
	is := is.New(t)
	var got store
	server := got.server()
	accept := server.Accept
	server.Accept = func(env message.Envelope, content io.Reader) error {
		if env.To[0] == "full@x" {
			return errors.New("disk full\r\n250 ok")
		}
		return accept(env, content)
	}
	var out strings.Builder
	refused := strings.Replace(begin, "a@x", "full@x", 1) + "QUIT\r\nRSET\r\n.\r\n"
	is.NoErr(server.Serve(strings.NewReader(refused+begin+"b\r\n.\r\n"), &out))
	is.Equal(got, store{"f@x>a@x: b\r\n"})
	is.True(strings.Contains(out.String(), "\r\n451 4.3.0 disk full  250 ok\r\n")) // one line
}

// A read error is neither the end of a message nor a normal end of the session.
func TestReadError(t *testing.T) {
	for _, input := range []string{"", "NOOP\r\n", begin, begin + "a\r\n"} {
		is := is.New(t)
		var got store
		broken := errors.New("broken")
		err := got.server().Serve(io.MultiReader(strings.NewReader(input), iotest.ErrReader(broken)), io.Discard)
		is.True(errors.Is(err, broken))
		is.Equal(len(got), 0)
	}
}

// An endless command is refused, and takes little memory.
func TestLongCommand(t *testing.T) {
	is := is.New(t)
	var got store
	var out strings.Builder
	is.NoErr(got.server().Serve(strings.NewReader("NOOP "+strings.Repeat("x", 1<<20)+"\r\n"+begin+".\r\n"), &out))
	is.True(strings.HasPrefix(out.String(), "220 host.example ESMTP Service Ready\r\n501 5.5.2 Bad command\r\n250 "))
	is.Equal(len(got), 1)
}

// Control characters are not repeated in replies, which may be shown on a terminal.
func TestControlCharacters(t *testing.T) {
	for _, line := range []string{"EHLO \x1b[31m", "NOOP\x00\x00", "\r000", "RCPT TO:<a\x01@x>", "\u009b00000", "EHLO \x9b31m", "MAIL FROM:<\xff@x>"} {
		is := is.New(t)
		var got store
		var out strings.Builder
		is.NoErr(got.server().Serve(strings.NewReader(line+"\r\n"), &out))
		is.True(strings.HasSuffix(out.String(), "\r\n501 5.5.2 Bad command\r\n"))
	}
}

func TestTooManyRecipients(t *testing.T) {
	is := is.New(t)
	var got store
	var out strings.Builder
	input := "MAIL FROM:<>\r\n" + strings.Repeat("RCPT TO:<a@x>\r\n", maxRecipients+1) + "DATA\r\n.\r\n"
	is.NoErr(got.server().Serve(strings.NewReader(input), &out))
	is.Equal(strings.Count(out.String(), "452 4.5.3"), 1)
	is.Equal(strings.Count(got[0], "a@x"), maxRecipients)
}

// The go-smtp server gets a domain for names without one. The functions of Server get the addresses of the client.
func TestPaths(t *testing.T) {
	for _, test := range []struct{ line, completed, read, path string }{
		{"RCPT TO:<a@x>", "", "a@x", "a@x"},
		{"rcpt to: <a@x> NOTIFY=NEVER", "", "a@x", "a@x"},
		{"RCPT TO:root", "RCPT TO:root@host.example", "root@host.example", "root"},
		{"RCPT  TO:\t<root>  NOTIFY=NEVER", "RCPT  TO:\t<root@host.example>  NOTIFY=NEVER", "root@host.example", "root"},
		{"MAIL FROM: joe SIZE=1", "MAIL FROM: joe@host.example SIZE=1", "joe@host.example", "joe"},
		{"MAIL FROM:<>", "", "", ""},
		{"RCPT TO:<root@host.example>", "", "root@host.example", "root@host.example"},
		{`RCPT TO:<"a> b\"@\"@"@x> B=c`, "", `a> b"@"@@x`, `"a> b\"@\"@"@x`},
		{`RCPT TO:"a b"@x B=c`, "", "a b@x", `"a b"@x`},
		{`RCPT TO:<"a@x,b"@y>`, "", "a@x,b@y", `"a@x,b"@y`},
		{"RCPT TO:<a@x,b@y>", "", "a@x,b@y", "a@x,b@y"}, // two addresses, without quotes
		{`RCPT TO:<@y,@z:"a b"@x>`, "", "a b@x", `"a b"@x`},
		{"RCPT TO:<@y:root>", "RCPT TO:<@y:root@host.example>", "root@host.example", "root"},
		{"RCPT TO:<root@>", "RCPT TO:<root@host.example>", "root@host.example", "root"},
		{"RCPT TO:<a..b@x> A=B", `RCPT TO:<"a..b"@x> A=B`, "a..b@x", `"a..b"@x`},
		{"MAIL FROM:<.a@x.>", `MAIL FROM:<".a"@x>`, ".a@x", `".a"@x`},
		{"RCPT TO:a@x.", "RCPT TO:a@x", "a@x", "a@x"},
		{"RCPT TO:<a..>", `RCPT TO:<"a.."@host.example>`, "a..@host.example", `"a.."`},
		{`RCPT TO:<"a>b"@x>`, "", "a>b@x", `"a>b"@x`},
		{"VRFY TO:<root>", "", "", ""},
		{"DATA", "", "", ""},
		{"", "", "", ""},
	} {
		is := is.New(t)
		c := newConn(nil, nil, "host.example")
		completed := test.completed
		if completed == "" {
			completed = test.line
		}
		is.Equal(c.complete(test.line), completed)
		is.Equal(c.path(test.read), test.path)
	}
}

// Dots in unusual places, and a dot at the end of a domain, are accepted.
func TestDots(t *testing.T) {
	is := is.New(t)
	var got store
	is.NoErr(got.server().Serve(strings.NewReader("MAIL FROM:<f..g@x>\r\nRCPT TO:<a.@x.>\r\nDATA\r\n.\r\n"), io.Discard))
	is.Equal(got, store{`"f..g"@x>"a."@x: `})
}

// A command with a wrong or unknown parameter is refused.
func TestParams(t *testing.T) {
	for _, test := range []struct{ command, code string }{
		{"MAIL FROM:<f@x> SIZE=10 BODY=8bitmime SMTPUTF8 RET=full ENVID=a+20b", "250"},
		{"MAIL FROM:<f@x> SIZE=x", "501"},
		{"MAIL FROM:<f@x> SIZE=101", "552"},
		{"MAIL FROM:<f@x> BODY=BINARYMIME", "504"},
		{"MAIL FROM:<f@x> RET=some", "501"},
		{"MAIL FROM:<f@x> ENVID=a+2", "501"},
		{"MAIL FROM:<f@x> ENVID=a+0D", "501"},
		{"MAIL FROM:<f@x> ENVID=" + strings.Repeat("a", 101), "501"},
		{"MAIL FROM:<f@x> NONSENSE=1", "500"},
		{"MAIL FROM:<f@x> AUTH=<>", "250"},
		{"RCPT TO:<a@x> NOTIFY=never ORCPT=rfc822;a+2Bb@x", "250"},
		{"RCPT TO:<a@x> NOTIFY=never,delay", "501"},
		{"RCPT TO:<a@x> ORCPT=nothing", "501"},
		{"RCPT TO:<a@x> ORCPT=rfc822;a+zz@x", "501"},
		{"RCPT TO:<a@x> BY=1;R", "504"},
	} {
		is := is.New(t)
		var got store
		server := got.server()
		server.MaxSize = 100
		input := test.command + "\r\n"
		if strings.HasPrefix(test.command, "RCPT") {
			input = "MAIL FROM:<f@x>\r\n" + input
		}
		var out strings.Builder
		is.NoErr(server.Serve(strings.NewReader(input), &out))
		answers := strings.Split(strings.TrimSpace(out.String()), "\r\n")
		is.Equal(answers[len(answers)-1][:3], test.code)
	}
}

var lastLine = regexp.MustCompile(`\.\r*\n`)

// FuzzServe: for any input, an accepted message ends where the client ended it, and each reply is a line with a code.
func FuzzServe(f *testing.F) {
	f.Add("EHLO c\r\n" + begin + "A: b\r\n\r\n..\r\n.\r\nQUIT\r\n")
	f.Add(strings.ReplaceAll(begin, "\r", "") + ".\n")
	f.Add("MAIL FROM:<\"\\\"> a\"@x> RET=HDRS\r\nRCPT TO:<a+b> NOTIFY=NEVER\r\nDATA\r\n\r.\r\n.\n.\r\n")
	f.Fuzz(func(t *testing.T, input string) {
		var got store
		var out strings.Builder
		_ = got.server().Serve(strings.NewReader(input), &out)
		accepted := 0
		for line := range strings.SplitSeq(strings.TrimSuffix(out.String(), "\r\n"), "\r\n") {
			if len(line) < 5 || strings.IndexByte("245", line[0]) < 0 && !strings.HasPrefix(line, "354 ") || strings.ContainsAny(line, "\r\n") {
				t.Errorf("answer %q", line)
			}
			if strings.HasPrefix(line, queued) {
				accepted++
			}
		}
		if accepted != len(got) {
			t.Errorf("%d answers for %d messages", accepted, len(got))
		}
		if ends := len(lastLine.FindAllString(input, -1)); len(got) > ends {
			t.Errorf("%d messages, but %d ends", len(got), ends)
		}
	})
}
