//go:build unix

package shim

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// A client is an SMTP client of -bs that waits for each reply.
type client struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr strings.Builder
}

func dial(t *testing.T, dir string) *client {
	t.Helper()
	is := is.New(t)
	d := &client{t: t, cmd: shimProcess(t, dir, "-bs", "-odb", "-oem")}
	d.cmd.Stderr = &d.stderr
	var err error
	d.in, err = d.cmd.StdinPipe()
	is.NoErr(err)
	out, err := d.cmd.StdoutPipe()
	is.NoErr(err)
	d.out = bufio.NewReader(out)
	is.NoErr(d.cmd.Start())
	d.hear("220")
	return d
}

// Any program may use -bs: the size of a message is limited, and room for the daemon is kept on the disk.
func TestSMTPHasLimitsWithoutAConfiguration(t *testing.T) {
	is := is.New(t)
	d := dial(t, t.TempDir())
	d.send("EHLO x\r\n")
	text := ""
	for !strings.Contains(text, "\n250 ") {
		line, err := d.out.ReadString('\n')
		is.NoErr(err)
		text += line
	}
	is.True(strings.Contains(text, "SIZE 52428800\r\n"))
	d.say("QUIT", "221")
	is.Equal(d.end(), 0)
}

// say sends a line, and fails the test if the reply does not begin with want.
func (d *client) say(line, want string) {
	d.t.Helper()
	d.send(line + "\r\n")
	d.hear(want)
}

func (d *client) send(text string) {
	d.t.Helper()
	if _, err := io.WriteString(d.in, text); err != nil {
		d.t.Fatal(err)
	}
}

func (d *client) hear(want string) {
	d.t.Helper()
	for {
		line, err := d.out.ReadString('\n')
		if err != nil {
			d.t.Fatalf("no answer that begins with %s: %v", want, err)
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !strings.HasPrefix(line, want) {
			d.t.Fatalf("answer is %q, not %s", line, want)
		}
		return
	}
}

// end closes standard input and returns the exit code.
func (d *client) end() int {
	d.t.Helper()
	_ = d.in.Close()
	if err := d.cmd.Wait(); err != nil {
		return exitOf(err)
	}
	return 0
}

// smtpAtOnce sends the whole input at once and returns the replies and the exit code.
func smtpAtOnce(t *testing.T, dir, input string) (answers string, code int) {
	t.Helper()
	cmd := shimProcess(t, dir, "-bs")
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		return string(out), exitOf(err)
	}
	return string(out), 0
}

// codes returns the codes of the replies. A reply of several lines has one code.
func codes(answers string) (list string) {
	for line := range strings.Lines(answers) {
		if len(line) > 3 && line[3] == ' ' {
			list += line[:4]
		}
	}
	return strings.TrimSpace(list)
}

// spooled returns the messages in the spool in order of arrival. tmp/ must be empty.
func spooled(t *testing.T, dir string) (texts []string) {
	t.Helper()
	for _, file := range inSpool(t, dir) {
		if filepath.Base(filepath.Dir(file)) == "tmp" {
			t.Fatalf("left in tmp/: %s", file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, untraced(t, string(text), "with SMTP ", file))
	}
	return texts
}

// untraced returns the text of a message file without its Received field, which has the name of the file and with.
func untraced(t *testing.T, text, with, file string) string {
	t.Helper()
	line, rest, _ := strings.Cut(text, "\n")
	field := received.FindStringSubmatch(rest)
	if field == nil || field[3] != with || field[4] != filepath.Base(file) {
		t.Fatalf("no Received field with the name of the message in %q", text)
	}
	return line + "\n" + rest[len(field[0]):]
}

// A client sends two messages, the second to the recipients in Bcc, as nmh does. Each message is in the spool when its
// reply comes.
func TestSMTPTwoMessages(t *testing.T) {
	is := is.New(t)
	dir := newSpool(t)
	d := dial(t, dir)
	d.say("EHLO client.example", "250")
	d.say("MAIL FROM:<f@x.org> BODY=8BITMIME", "250")
	d.say("RCPT TO:<a@x.org>", "250")
	d.say("DATA", "354")
	d.say("From: f@x.org\r\nTo: a@x.org\r\n\r\ngr\xfc\xdfe\r\n..\r\n...\r\n.", "250")
	first := `X-Spoolgore-Envelope: {"from":"f@x.org","to":["a@x.org"]}` + "\n" +
		"From: f@x.org\r\nTo: a@x.org\r\n\ngr\xfc\xdfe\r\n.\r\n..\r\n"
	is.Equal(spooled(t, dir), []string{first}) // on disk before the reply
	d.say("MAIL FROM:<f@x.org>", "250")
	d.say("RCPT TO:<b@x.org>", "250")
	d.say("RCPT TO:<c@x.org>", "250")
	d.say("DATA", "354")
	d.say("From: f@x.org\r\nSubject: \r\n\r\n------- Blind-Carbon-Copy\r\n.", "250")
	d.say("QUIT", "221")
	is.Equal(d.end(), 0)
	is.Equal(spooled(t, dir), []string{first, `X-Spoolgore-Envelope: {"from":"f@x.org","to":["b@x.org","c@x.org"]}` + "\n" +
		"From: f@x.org\r\nSubject: \r\n\n------- Blind-Carbon-Copy\r\n"})
}

// Sessions that are sent at once, and the messages in the spool afterwards.
func TestSMTPSessions(t *testing.T) {
	const hello, from, to = "EHLO c.example\r\n", "MAIL FROM:<f@x.org>\r\n", "RCPT TO:<a@x.org>\r\n"
	const mail = "From: f@x.org\r\n\r\nbody\r\n"
	const stored = `X-Spoolgore-Envelope: {"from":"f@x.org","to":["a@x.org"]}` + "\nFrom: f@x.org\r\n\nbody\r\n"
	long := strings.Repeat("x", 70_000) + "\r\n"
	tests := []struct {
		name, input, codes string
		want               []string
	}{
		{"pipelined", hello + from + to + "DATA\r\n" + mail + ".\r\n" + from + to + "DATA\r\n" + mail + ".\r\nQUIT\r\n",
			"220 250 250 250 354 250 250 250 354 250 221", []string{stored, stored}},
		{"HELO", "HELO c\r\n" + from + to + "DATA\r\n" + mail + ".\r\nQUIT\r\n", "220 250 250 250 354 250 221", []string{stored}},
		{"no QUIT", hello + from + to + "DATA\r\n" + mail + ".\r\n", "220 250 250 250 354 250", []string{stored}},
		{"nothing", "", "220", nil},
		{"RSET", hello + from + "RCPT TO:<b@x.org>\r\nRSET\r\n" + from + to + "DATA\r\n" + mail + ".\r\nQUIT\r\n",
			"220 250 250 250 250 250 250 354 250 221", []string{stored}},
		{"a second EHLO", hello + from + "RCPT TO:<b@x.org>\r\n" + hello + from + to + "DATA\r\n" + mail + ".\r\nQUIT\r\n",
			"220 250 250 250 250 250 250 354 250 221", []string{stored}},
		{"lines that end in LF", strings.ReplaceAll(hello+from+to+"DATA\r\n"+mail+".\r\nQUIT\r\n", "\r", ""),
			"220 250 250 250 354 250 221", []string{stored}},
		{"a dot among lines that end in CRLF", hello + from + to + "DATA\r\nFrom: f@x.org\r\n\r\na\n.\nb\r\n.\r\nQUIT\r\n",
			"220 250 250 250 354 250 221", []string{strings.Replace(stored, "body\r\n", "a\n.\nb\r\n", 1)}},
		{"wishes", hello + "MAIL FROM:<> RET=HDRS ENVID=a+2Bb\r\nRCPT TO:<a@x.org>\r\n" +
			"RCPT TO:<b@x.org> NOTIFY=success,DELAY ORCPT=rfc822;b+2Bb@y.org\r\nDATA\r\n" + mail + ".\r\n",
			"220 250 250 250 250 354 250", []string{`X-Spoolgore-Envelope: {"from":"","to":["a@x.org","b@x.org"],"ret":"HDRS",` +
				`"envid":"a+b","notify":["","SUCCESS,DELAY"],"orcpt":["","rfc822;b+b@y.org"]}` + "\nFrom: f@x.org\r\n\nbody\r\n"}},
		{"quoted, and UTF-8", hello + "MAIL FROM:<\"a b\"@x.org> SMTPUTF8\r\nRCPT TO:<\"a\\\"\\\\,@b\"@x.org>\r\nRCPT TO:<jürgen@x.org>\r\nDATA\r\n" +
			mail + ".\r\n", "220 250 250 250 250 354 250",
			[]string{`X-Spoolgore-Envelope: {"from":"\"a b\"@x.org","to":["\"a\\\"\\\\,@b\"@x.org","jürgen@x.org"]}` + "\nFrom: f@x.org\r\n\nbody\r\n"}},
		{"no header", hello + from + to + "DATA\r\n.\r\n", "220 250 250 250 354 250",
			[]string{`X-Spoolgore-Envelope: {"from":"f@x.org","to":["a@x.org"]}` + "\nFrom: f@x.org\n\n"}},
		{"a long line", hello + from + to + "DATA\r\n" + mail + long + ".\r\n", "220 250 250 250 354 250", []string{stored + long}},
		{"an envelope of its own", hello + from + to + "DATA\r\n" + `X-Spoolgore-Envelope: {"from":"","to":["e@x.org"]}` + "\r\n" + mail + ".\r\n",
			"220 250 250 250 354 250", []string{stored}},
		{"no hello", from + to + "DATA\r\n" + mail + ".\r\nQUIT\r\n", "220 250 250 354 250 221", []string{stored}},
		{"without a domain", hello + "MAIL FROM:<joe>\r\nRCPT TO:<root>\r\nRCPT TO: Postmaster\r\nRCPT TO:<@y.org:a@x.org>\r\nDATA\r\n" + mail + ".\r\n",
			"220 250 250 250 250 250 354 250", []string{`X-Spoolgore-Envelope: {"from":"joe@host.example","to":["root@host.example",` +
				`"Postmaster@host.example","a@x.org"]}` + "\nFrom: f@x.org\r\n\nbody\r\n"}},
		{"out of order", hello + to + "DATA\r\n" + from + from + "DATA\r\nQUIT\r\n", "220 250 502 502 250 503 502 221", nil},
		{"what is no command", hello + "NONSENSE\r\n\r\nVRFY a@x.org\r\nNOOP\r\nQUIT\r\n", "220 250 501 500 252 250 221", nil},
		{"bad addresses", hello + "MAIL FROM:<f x@x.org>\r\nMAIL FROM:<f@x..org>\r\n" + from + "RCPT TO:<a@x\x01.org>\r\nRCPT TO:<>\r\nRCPT TO:<@>\r\nQUIT\r\n",
			"220 250 501 553 250 501 501 501 221", nil},
		{"a bad one among good ones", hello + from + "RCPT TO:<a@-..>\r\n" + to + "DATA\r\n" + mail + ".\r\nQUIT\r\n",
			"220 250 250 553 250 354 250 221", []string{stored}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			dir := newSpool(t)
			answers, code := smtpAtOnce(t, dir, test.input)
			is.Equal(codes(answers), test.codes)
			is.Equal(code, 0) // commands that were refused do not change the exit code
			is.Equal(spooled(t, dir), test.want)
		})
	}
}

// EHLO offers the extensions that clients need.
func TestSMTPExtensions(t *testing.T) {
	is := is.New(t)
	dir := newSpool(t)
	writeConf(t, dir, "maxsize 1K")
	answers, _ := smtpAtOnce(t, dir, "EHLO c.example\r\nQUIT\r\n")
	for _, keyword := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 1024", "ENHANCEDSTATUSCODES"} {
		is.True(strings.Contains(answers, keyword+"\r\n"))
	}
	is.True(strings.HasPrefix(answers, "220 host.example ")) // the domain for names without a domain
}

// If the input ends within a message, no message is accepted.
func TestSMTPCutOff(t *testing.T) {
	const begin = "EHLO c.example\r\nMAIL FROM:<f@x.org>\r\nRCPT TO:<a@x.org>\r\n"
	for _, input := range []string{
		"DATA\r\n",
		"DATA\r\nFrom: f@x.org\r\n\r\nbody\r\n",
		"DATA\r\nFrom: f@x.org\r\n\r\nbody\r\n.",
		"DATA\r\nFrom: f@x.org\r\n\r\nbody\r\n.\n",
		"DATA\r\nFrom: f@x.org\r\n\r\n" + strings.Repeat("body\r\n", 50_000),
		"BDAT 1000 LAST\r\nFrom: f@x.org\r\n\r\nbody\r\n", // BDAT is not offered, and refused
	} {
		t.Run(input[:min(len(input), 40)], func(t *testing.T) {
			is := is.New(t)
			dir := newSpool(t)
			answers, code := smtpAtOnce(t, dir, begin+input)
			is.True(strings.HasPrefix(codes(answers), "220 250 250 250 "))
			is.True(!strings.Contains(answers, "queued")) // the message was not accepted
			is.Equal(code, exitIO)
			is.Equal(spooled(t, dir), nil) // no file in the spool or in tmp/
		})
	}
}

// A signal discards the unfinished message, and no other.
func TestSMTPInterrupted(t *testing.T) {
	is := is.New(t)
	dir := newSpool(t)
	d := dial(t, dir)
	d.say("EHLO client.example", "250")
	for i := range 2 {
		d.say("MAIL FROM:<f@x.org>", "250")
		d.say("RCPT TO:<a@x.org>", "250")
		d.say("DATA", "354")
		d.send("From: f@x.org\r\n\r\n" + strings.Repeat("body\r\n", 20_000))
		if i == 0 {
			d.say(".", "250")
		}
	}
	is.NoErr(d.cmd.Process.Signal(syscall.SIGTERM))
	d.hear("451")
	is.Equal(d.end(), exitTempFail)
	is.True(strings.Contains(d.stderr.String(), "interrupted"))
	is.Equal(len(spooled(t, dir)), 1)
}

// A message above the limit is refused, with or without SIZE, and the next message is accepted.
func TestSMTPTooLarge(t *testing.T) {
	is := is.New(t)
	dir := newSpool(t)
	writeConf(t, dir, "maxsize 1K")
	d := dial(t, dir)
	d.say("EHLO client.example", "250")
	d.say("MAIL FROM:<f@x.org> SIZE=2000", "552")
	d.say("MAIL FROM:<f@x.org>", "250")
	d.say("RCPT TO:<a@x.org>", "250")
	d.say("DATA", "354")
	d.say("From: f@x.org\r\n\r\n"+strings.Repeat("body\r\n", 300)+".", "552 5.3.4")
	d.say("MAIL FROM:<f@x.org>", "250")
	d.say("RCPT TO:<a@x.org>", "250")
	d.say("DATA", "354")
	d.say("From: f@x.org\r\n\r\nbody\r\n.", "250")
	d.say("QUIT", "221")
	is.Equal(d.end(), 0)
	is.Equal(len(spooled(t, dir)), 1)
}

// If the spool cannot accept a message now, the reply is temporary.
func TestSMTPTrouble(t *testing.T) {
	is := is.New(t)
	dir := newSpool(t)
	d := dial(t, dir)
	d.say("EHLO client.example", "250")
	is.NoErr(os.WriteFile(filepath.Join(dir, "spool", "tmp"), nil, 0o600)) // a file in place of the directory
	d.say("MAIL FROM:<f@x.org>", "250")
	d.say("RCPT TO:<a@x.org>", "250")
	d.say("DATA", "354")
	d.say("From: f@x.org\r\n\r\nbody\r\n.", "451 4.3.0")
	d.say("QUIT", "221")
	is.Equal(d.end(), 0)
}

func writeConf(t *testing.T, dir, text string) {
	t.Helper()
	err := os.Mkdir(filepath.Join(dir, "etc"), 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "etc", "spoolgore.conf"), []byte(text+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
