package sendmail

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/message"
)

// onHost are the defaults of the tests: the user joe, on a host with the alias ann@x for root.
var onHost = Defaults{Domain: "h.example", Login: "joe", Name: "Joe Doe", Aliases: func(name string) (Alias, bool) {
	switch name {
	case "root":
		return Alias{Targets: []string{"ann@x", "joe"}}, true
	case "void":
		return Alias{Discard: true}, true
	case "copy":
		return Alias{Targets: []string{"joe@LOCALHOST, b@x"}, Discard: true}, true
	case "prog":
		return Alias{}, true
	case "empty":
		return Alias{Targets: []string{"undisclosed-recipients:;"}}, true
	}
	return Alias{}, false
}, Local: func(domain string) bool { return domain == "host" }}

// spooled returns the envelope that New makes for text, and the file without its first line.
func spooled(t *testing.T, text string, args ...string) (message.Envelope, string, error) {
	t.Helper()
	c, err := Parse("sendmail", args)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(c, onHost, strings.NewReader(text))
	if err != nil {
		return message.Envelope{}, "", err
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	line, file, _ := strings.Cut(b.String(), "\n")
	h, err := message.ReadHeader(strings.NewReader(line+"\n"), int64(len(line)+1))
	if err != nil {
		t.Fatal(err)
	}
	env, err := h.Envelope(time.Time{})
	if err != nil || env == nil {
		t.Fatalf("no envelope line in %q (%v)", line, err)
	}
	return *env, file, nil
}

// No message is refused, no text is lost, and the only changes are those in the table.
func TestCompletion(t *testing.T) {
	const from = "From: \"Joe Doe\" <joe@h.example>\n"
	for name, row := range map[string]struct{ in, out string }{
		"complete":                       {"From: a@x\nTo: b@x\n\nbody\n", "From: a@x\nTo: b@x\n\nbody\n"},
		"no From":                        {"To: b@x\n\nbody\n", from + "To: b@x\n\nbody\n"},
		"names":                          {"from: root (Cron Daemon)\nSender: <root>\nTO : root,\n joe\nCc: A <joe>\nBcc: joe\nReply-To: joe\n\nroot", "from: root@h.example (Cron Daemon)\nSender: <root@h.example>\nTO : root@h.example,\n joe@h.example\nCc: A <joe@h.example>\nBcc: joe\nReply-To: joe\n\nroot"},
		"an author whose name is cut":    {"From: Doe, John <j@x>\n\n", "From: Doe, John <j@x>\n\n"},
		"body only":                      {"body\nTo: x\n", from + "\nbody\nTo: x\n"},
		"body that begins with a blank":  {" body\n", from + "\n body\n"},
		"empty":                          {"", from + "\n"},
		"blank line":                     {"\n", from + "\n"},
		"no body":                        {"From: a@x", "From: a@x\n\n"},
		"no blank line before the body":  {"From: a@x\nbody\n\nmore\n", "From: a@x\n\nbody\n\nmore\n"},
		"PHP":                            {"To: b@x\r\nFrom: a@x\r\n\r\nbody\nmore\r\n", "To: b@x\r\nFrom: a@x\r\n\nbody\nmore\r\n"},
		"CRLF in the header only":        {"To: b@x\r\nFrom: a@x\r\n\nbody", "To: b@x\r\nFrom: a@x\r\n\nbody"},
		"folded with a lone CR":          {"From: a@x\n\r \r\r\n\nbody", "From: a@x\n\r \r\r\n\nbody"},
		"NUL and 8-bit":                  {"From: a@x\n\n\x00\xff\r\x80", "From: a@x\n\n\x00\xff\r\x80"},
		"8-bit name":                     {"From: J\xfcrgen <root>\n\n", "From: J\xfcrgen <root@h.example>\n\n"},
		"mbox":                           {"From a@x Mon Nov 23 21:49:05 2026\n>From b@x Mon\nFrom: a@x\n\nFrom c\n", "From: a@x\n\nFrom c\n"},
		"text that begins like mbox":     {"From here on\nall is well\n", from + "\nFrom here on\nall is well\n"},
		"text that is one such line":     {"From here on", from + "\nFrom here on"},
		"such a line and a blank one":    {"From here on\n\nall\n", from + "\nFrom here on\n\nall\n"},
		"byte order mark":                {"\uFEFFFrom: a@x\n\n", "From: a@x\n\n"},
		"byte order mark before text":    {"\uFEFFtext", from + "\n\uFEFFtext"},
		"dots":                           {"From: a@x\n\n.\n..\n.", "From: a@x\n\n.\n..\n."},
		"fields of our own":              {"X-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"evil@x\"]}\nReturn-Path: <r@x>\n (c)\nFrom: a@x\n\n", "From: a@x\n\n"},
		"such a field alone":             {"X-Spoolgore-Envelope: {}\n", from + "\n"},
		"such a field below a mbox line": {"From a@x\nx-spoolgore-envelope : {}\nFrom: a@x\n\n", "From: a@x\n\n"},
		"empty From":                     {"From:\n\n", "From:\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			env, file, err := spooled(t, row.in, "b@x")
			is.NoErr(err)
			is.Equal(file, row.out)
			is.Equal(env.To, []string{"b@x"}) // recipients of the header are not used
		})
	}
}

func TestRecipients(t *testing.T) {
	for name, row := range map[string]struct {
		args, text string
		want       string
	}{
		"one":                     {"a@x", "", "a@x"},
		"several":                 {"a@x b@x", "", "a@x b@x"},
		"cron's list":             {"a@x,b@x", "", "a@x b@x"},
		"with blanks":             {"a@x,_b@x;_c@x", "", "a@x b@x c@x"},
		"with names":              {"Ann_<a@x> <b@x>", "", "a@x b@x"},
		"each once":               {"a@x a@X b@x A@x", "", "a@x b@x A@x"},
		"quoted":                  {`"q_u"@x "a,b"@x`, "", `"q_u"@x "a,b"@x`},
		"no domain":               {"joe", "", "joe@h.example"},
		"an alias":                {"root", "", "ann@x joe@h.example"},
		"an alias, and itself":    {"joe root", "", "joe@h.example ann@x"},
		"no alias with a domain":  {"root@h.example", "", "root@h.example"},
		"an alias at localhost":   {"root@localhost", "", "ann@x joe@h.example"},
		"a name at localhost":     {"sue@Localhost.LocalDomain", "", "sue@h.example"},
		"an alias at the host":    {"root@host sue@host", "", "ann@x joe@h.example sue@host"},
		"an alias for nobody":     {"void copy", "", "joe@h.example b@x"},
		"an alias for a command":  {"prog a@x", "", "prog a@x"},
		"an alias for no address": {"empty a@x", "", "empty a@x"},
		"UTF-8":                   {"jürgen@müller.example", "", "jürgen@müller.example"},
		"header":                  {"-t", "To: a@x\nTo: b@x\nCc: c@x,\n d@x\nBcc: e@x\n\n", "a@x b@x c@x d@x e@x"},
		"header and operand":      {"-t a@x", "To: b@x, a@x\n\n", "a@x b@x"},
		"header, no domain":       {"-t", "To: root, joe (Joe)\nBcc: <sue>\n\n", "ann@x joe@h.example sue@h.example"},
		"header, semicolons":      {"-t", "To: a@x; b@x\n\n", "a@x b@x"},
		"resent":                  {"-t", "Resent-To: a@x\nResent-Bcc: joe\nTo: b@x\n\n", "a@x joe@h.example"},
		"group":                   {"-t", "To: G: a@x, joe;\n\n", "a@x joe@h.example"},
		"not without -t":          {"a@x", "To: b@x\n\n", "a@x"},
		"not in the body":         {"-t", "To: a@x\ntext\nTo: b@x\n\n", "a@x"},
		"not in fields of ours":   {"-t", "X-Spoolgore-Envelope: {\"to\":[\"e@x\"]}\nTo: a@x\n\n", "a@x"},
		"a bad one among others":  {"-t", "To: a@x, @b, <c@x>\n\n", "a@x @b c@x"},
		"an @ and no domain":      {"-t root@", "To: joe@, <sue@>\nCc: Ann <ann@>\n\n", "ann@x joe@h.example sue@h.example ann@h.example"},
		"dots":                    {"-t a..b@x", "To: c.@x, .d@x., e..f\n\n", `"a..b"@x "c."@x ".d"@x "e..f"@h.example`},
		"in quotes":               {`-t "a@x"`, "To: \"b@x\"\nCc: \"Cy <c@x>\"\n\n", "a@x b@x c@x"},
		"@ in a name":             {"-t", "To: d@y via L <a@x>, root@nas Backup <b@x>\n\n", "a@x b@x"},
		"Outlook's list":          {"-t", "To: Doe, Ann <a@x>; Roe, Bob <b@x>\n\n", "a@x b@x"},
		"CR CR LF":                {"-t", "To: a@x\r\r\n\r\r\nTo: b@x\r\r\n", "a@x"},
		"behind blanks":           {"-t", "To: a@x\n \ntext\nTo: b@x\n\n", "a@x"},
		"raw ISO-2022-JP":         {"-t", "To: \x1b$B,\"\x1b(B <a@x>, \x1b$B\",<\x1b(B <b@x>\n\n", "a@x b@x"},
		"X-Receiver":              {"-t", "X-Receiver: b@x\nTo: a@x\n\n", "a@x"},
		"nor what stands for us":  {"-t", "To: a@x, b@" + bare + "\n\n", "a@x b@\uFFFD"},
		"a bad operand":           {"a_b a@x", "", "a_b a@x"},
		"a list of many":          {"-t", "To: " + strings.Repeat("a@x, ", 1000) + "b@x\n\n", "a@x b@x"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var args []string
			for _, a := range strings.Fields(row.args) {
				args = append(args, strings.ReplaceAll(a, "_", " "))
			}
			env, _, err := spooled(t, row.text, args...)
			is.NoErr(err)
			is.Equal(strings.ReplaceAll(strings.Join(env.To, "|"), " ", "_"), strings.ReplaceAll(row.want, " ", "|"))
		})
	}
}

func TestSender(t *testing.T) {
	for name, row := range map[string]struct {
		args, text string
		want       string
	}{
		"given":                    {"-fs@x a@x", "From: f@x\n\n", "s@x"},
		"empty":                    {"-f _ a@x", "From: f@x\n\n", ""},
		"null":                     {"-f <> a@x", "From: f@x\n\n", ""},
		"in brackets":              {"-f <s@x> a@x", "", "s@x"},
		"with a name":              {"-f N_<s@x> a@x", "", "s@x"},
		"no domain":                {"-f root a@x", "", "root@h.example"}, // an alias is not applied to a sender
		"author":                   {"a@x", "From: F <f@x>\n\n", "f@x"},
		"sender":                   {"a@x", "From: f@x\nSender: s@x\n\n", "s@x"},
		"author without a domain":  {"a@x", "From: root (Cron Daemon)\n\n", "root@h.example"},
		"not Return-Path":          {"a@x", "Return-Path: <r@x>\nFrom: f@x\n\n", "f@x"},
		"author whose name is cut": {"a@x", "From: Doe, John <j@x>\n\n", "j@x"},
		"caller":                   {"a@x", "Subject: s\n\n", "joe@h.example"},
		"author who is nobody":     {"a@x", "From: Cron Daemon\n\n", "joe@h.example"},
		"resent":                   {"-t", "From: f@x\nResent-From: r@x\nResent-To: a@x\n\n", "r@x"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			args := strings.Fields(row.args)
			for i, a := range args {
				args[i] = strings.TrimSpace(strings.ReplaceAll(a, "_", " "))
			}
			env, _, err := spooled(t, row.text, args...)
			is.NoErr(err)
			is.Equal(env.From, row.want)
		})
	}
}

func TestAuthor(t *testing.T) {
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"caller":               {[]string{"a@x"}, `"Joe Doe" <joe@h.example>`},
		"other name":           {[]string{"-FCronDaemon", "a@x"}, `"CronDaemon" <joe@h.example>`},
		"sender":               {[]string{"-fs@x", "a@x"}, `s@x`},
		"sender with a name":   {[]string{"-fs@x", "-F", "S", "a@x"}, `"S" <s@x>`},
		"sender is the caller": {[]string{"-fjoe", "a@x"}, `"Joe Doe" <joe@h.example>`},
		"null sender":          {[]string{"-f", "", "a@x"}, `"Joe Doe" <joe@h.example>`},
		"quotes":               {[]string{"-F", `J "D" \`, "a@x"}, `"J \"D\" \\" <joe@h.example>`},
		"UTF-8":                {[]string{"-F", "Jürgen", "a@x"}, `=?utf-8?q?J=C3=BCrgen?= <joe@h.example>`},
		"brackets":             {[]string{"-F", "<x@x>", "a@x"}, `"<x@x>" <joe@h.example>`},
		"line end":             {[]string{"-F", "J\nBcc: x@x", "a@x"}, `=?utf-8?b?SgpCY2M6IHhAeA==?= <joe@h.example>`},
		"Latin-1":              {[]string{"-F", "J\xfc", "a@x"}, `"J" <joe@h.example>`},
		"quoted sender":        {[]string{"-f", `"q u"@x`, "-FQ", "a@x"}, `"Q" <"q u"@x>`},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			_, file, err := spooled(t, "Subject: s\n\n", row.args...)
			is.NoErr(err)
			is.Equal(file, "From: "+row.want+"\nSubject: s\n\n")
		})
	}
}

func TestComplete(t *testing.T) {
	is := is.New(t)
	env := message.Envelope{From: "s@x", To: []string{"b@x"}, Notify: []string{"NEVER"}}
	m, err := onHost.Complete(env, strings.NewReader("To: root\n\nbody"))
	is.NoErr(err)
	var b strings.Builder
	_, err = m.WriteTo(&b)
	is.NoErr(err)
	is.Equal(b.String(), `X-Spoolgore-Envelope: {"from":"s@x","to":["b@x"],"notify":["NEVER"]}`+"\nFrom: s@x\nTo: root@h.example\n\nbody")
}

func TestResolve(t *testing.T) {
	is := is.New(t)
	got, err := onHost.Resolve("root, Joe <joe>, a@x, b c")
	is.NoErr(err)
	var said []string
	for _, r := range got {
		line := r.Given + ":"
		for _, a := range r.To {
			line += " " + a.Addr
		}
		said = append(said, line)
	}
	is.Equal(said, []string{"root: ann@x joe@h.example", "joe: joe@h.example", "a@x: a@x", "b c: b c"})
	is.True(got[3].To[0].Err != nil) // an invalid address
}

func TestOperandOfLines(t *testing.T) {
	for operand, want := range map[string]string{
		"a@x\nb@x":                        "a@x b@x",
		"a@x\r\nb@x\r\n":                  "a@x b@x",
		"a@x,\nb@x,\n\n":                  "a@x b@x",
		"a@x\tb@x":                        "a@x b@x",
		"  a@x\n\tAnn <b@x>; c@x\n":       "a@x b@x c@x",
		"root\njoe":                       "ann@x joe@h.example",
		"\n\na@x":                         "a@x",
		"a@[IPv6:2001:db8::1]\n\"b:c\"@x": `a@[IPv6:2001:db8::1] "b:c"@x`,
		"a8@x\r\nRCPT TO:<b@y>":           "",
		"a@x\nBcc: b@x":                   "",
		"a@x\nsome text":                  "",
		"a@x\n@x":                         "",
		"a@x\rb@x":                        "",
		"a@x\r\r\nb@x":                    "",
		"a@x\vb@x":                        "",
		"a@x\x00":                         "",
		"\x1b[1m<a@x>":                    "",
		"\u0085a@x":                       "",
		"a@x\x7f":                         "",
	} {
		t.Run(operand, func(t *testing.T) {
			is := is.New(t)
			env, _, err := spooled(t, "Subject: s\n\n", operand)
			if want == "" {
				is.True(errors.Is(err, ErrData)) // no message is queued
				return
			}
			is.NoErr(err)
			is.Equal(strings.Join(env.To, " "), want)
		})
	}
	is := is.New(t)
	for _, sender := range []string{"a@x\nb@x", "a@x\x7f", "\x1b<a@x>"} {
		_, _, err := spooled(t, "", "-f", sender, "a@x")
		is.True(errors.Is(err, ErrData)) // a sender with several lines is an error
	}
}

func TestSchedule(t *testing.T) {
	is := is.New(t)
	d := onHost
	d.Now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	c, err := Parse("sendmail", []string{"-O", "Expire=2d", "-ONotBefore=10m", "-O", "priority=7", "a@x"})
	is.NoErr(err)
	m, err := New(c, d, strings.NewReader(""))
	is.NoErr(err)
	is.Equal(m.Envelope.Expire, d.Now.Add(48*time.Hour))
	is.Equal(m.Envelope.NotBefore, d.Now.Add(10*time.Minute))
	is.Equal(m.Envelope.Priority, 7)
}

func TestDiscarded(t *testing.T) {
	is := is.New(t)
	c, err := Parse("sendmail", []string{"-t", "void"})
	is.NoErr(err)
	m, err := New(c, onHost, strings.NewReader("To: void@localhost\n\ntext"))
	is.NoErr(err)
	is.True(m.Discarded)
	is.Equal(len(m.Envelope.To), 0)
}

func TestRefusedData(t *testing.T) {
	for name, row := range map[string]struct {
		args, text string
		want       error
	}{
		"no recipient in the header":   {"-t", "Subject: s\n\n", ErrData},
		"an empty recipient":           {"''", "", ErrUsage},
		"only bad recipients":          {"-t", "To: a@@\nCc: @x\n\n", ErrData},
		"only a command":               {"prog", "", ErrData},
		"bad sender":                   {"-f @a b@x", "", ErrData},
		"sender of blanks":             {"-f , b@x", "", ErrData},
		"recipients beyond the header": {"-t a@x", "To: a@x\n" + strings.Repeat("X: y\n", message.MaxHeader/5) + "\n", ErrData},
		"recipients beyond the limit":  {"-t", "To: " + strings.Repeat("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@xxxxxxxxxxxxxxxxxxxxx.example,\n ", 12_000) + "b@x\n\n", ErrData},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			args := strings.Fields(row.args)
			if row.args == "''" {
				args = []string{""}
			}
			_, _, err := spooled(t, row.text, args...)
			is.True(errors.Is(err, row.want))
		})
	}
}

// A header without end is taken for text. A reader of the file accepts a limited header, and would not send the
// message.
func TestAHeaderTooLongIsText(t *testing.T) {
	is := is.New(t)
	for _, text := range []string{
		strings.Repeat("12:00 all is well\n", 100_000), // no header
		// within the limit, but not with the envelope
		strings.Repeat("X: y\n", message.MaxHeader/5-2) + "\nbody\n",
		// within the limit until addresses are completed
		"To: " + strings.Repeat("root, ", message.MaxHeader/8) + "b\n\nbody\n",
	} {
		_, file, err := spooled(t, text, "a@x")
		is.NoErr(err)
		header, body, _ := strings.Cut(file, "\n\n")
		is.Equal(header, "From: \"Joe Doe\" <joe@h.example>")
		// the whole text is in the body
		is.Equal(strings.ReplaceAll(body, "\n", ""), strings.ReplaceAll(text, "\n", ""))
	}
}

func TestInputErrors(t *testing.T) {
	is := is.New(t)
	broken := errors.New("broken")
	c := Command{Operands: []string{"a@x"}}
	_, err := New(c, onHost, iotest.ErrReader(broken))
	is.True(errors.Is(err, ErrInput) && errors.Is(err, broken)) // a read error in the header

	m, err := New(c, onHost, io.MultiReader(strings.NewReader("From: a@x\n\n"+strings.Repeat("x", 100_000)), iotest.ErrReader(broken)))
	is.NoErr(err)
	_, err = m.WriteTo(io.Discard)
	is.True(errors.Is(err, ErrInput) && errors.Is(err, broken)) // a read error in the body

	limited := onHost
	limited.MaxSize = 100_000
	m, err = New(c, limited, strings.NewReader("\n"+strings.Repeat("x", 99_999)))
	is.NoErr(err)
	_, err = m.WriteTo(io.Discard)
	is.NoErr(err) // at the limit
	m, err = New(c, limited, strings.NewReader("\n"+strings.Repeat("x", 100_000)))
	is.NoErr(err)
	_, err = m.WriteTo(io.Discard)
	is.True(errors.Is(err, ErrTooLarge)) // above the limit
}

// zeros is an endless message.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// The memory does not depend on the size of a message.
func TestLargeMessage(t *testing.T) {
	is := is.New(t)
	const size = 64 << 20
	text := io.MultiReader(strings.NewReader("From: f@x\n\n"), io.LimitReader(zeros{}, size))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := New(Command{Operands: []string{"a@x"}}, onHost, text)
	is.NoErr(err)
	n, err := m.WriteTo(io.Discard)
	is.NoErr(err)
	runtime.ReadMemStats(&after)
	is.True(n > size)
	is.True(after.TotalAlloc-before.TotalAlloc < 1<<20) // allocated bytes, including those freed again
}

// The file does not depend on the sizes of the reads.
func TestPieces(t *testing.T) {
	is := is.New(t)
	text := "From a@x\nSubject: s\r\n folded\nTo: root\n" + strings.Repeat("X: y\r\n", 5000) + "\nbody\r"
	c := Command{Header: true}
	var files []string
	for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
		m, err := New(c, onHost, r)
		is.NoErr(err)
		var b bytes.Buffer
		_, err = m.WriteTo(&b)
		is.NoErr(err)
		files = append(files, b.String())
	}
	is.Equal(files[1], files[0])
	is.Equal(files[2], files[0])
}

// For any text: no line is lost, the recipients are those of the arguments, and every reader of the file finds them.
func FuzzNew(f *testing.F) {
	for _, text := range []string{
		"", "\n", "body", "From: root\nTo: a\r\n b\n\nbody", "From a@x\n>From b\nTo: a@x\ntext", "\uFEFFSubject: s\n\r\n\x00",
		"To:0@", "X-Spoolgore-Envelope: {\"to\":[\"e@x\"]}\n\n", "A: b\n\r\r\n\nc", "Return-Path: x\n y\nz: \n",
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, header bool) {
		m, err := New(Command{Operands: []string{"rcpt@x.example"}, Header: header}, onHost, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		file := b.Bytes()
		h, err := message.ReadHeader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		a := h.Addresses()
		if a.FromErr != nil || len(a.To) == 0 || a.To[0].Addr != "rcpt@x.example" || !header && len(a.To) != 1 {
			t.Errorf("%q: envelope reads %v", text, a)
		}
		if h.Get("From") == "" && !strings.Contains(strings.ToLower(text), "from") {
			t.Errorf("%q: no From in %q", text, file)
		}
		// Every line of the text is in the file, in order, except for completed domains and fields that are left out.
		lower := strings.ToLower(text)
		if strings.Contains(lower, "return-path") || strings.Contains(lower, "x-spoolgore-envelope") {
			return
		}
		plain := strings.NewReplacer("\r", "", "@h.example", "", "@", "", "\uFEFF", "") // "a@" may become "a@h.example"
		lines := strings.Split(plain.Replace(string(file)), "\n")[1:]
		for n, line := range strings.Split(plain.Replace(text), "\n") {
			i := slices.Index(lines, line)
			if line == "" || i < 0 && n == 0 && strings.HasPrefix(line, "From ") || i < 0 && strings.HasPrefix(line, ">From ") {
				continue
			}
			if i < 0 {
				t.Fatalf("%q: line %q is not in %q", text, line, file)
			}
			lines = lines[i+1:]
		}
		if utf8.ValidString(text) && !utf8.Valid(file) {
			t.Errorf("%q: %q is not valid", text, file)
		}
	})
}
