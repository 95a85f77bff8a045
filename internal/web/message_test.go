package web

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

// look requests the view of a message.
func look(t *testing.T, s *Server, m shown) inside {
	t.Helper()
	return get[inside](t, s, "/message?place="+m.Place+"&file="+m.File)
}

func TestMessageView(t *testing.T) {
	is := is.New(t)
	s, dir := tried(t)
	in := look(t, s, list(t, s, "failed").Rows[0])
	is.Equal(len(in.People), 2)
	is.Equal(in.People[0].Address, "nobody@example.org")
	is.Equal(in.People[0].State, "failed")
	is.True(strings.Contains(in.People[0].Error, "User unknown"))
	is.Equal(in.People[1].State, "sent")
	is.Equal(in.People[1].TLS, "TLS 1.3")
	is.Equal(in.Text, "text\n")
	is.True(strings.Contains(in.Header, "Subject: two\n"))

	for path, want := range map[string]int{
		"place=failed&file=!!":                    http.StatusBadRequest,
		"place=tmp&file=" + name("x"):             http.StatusBadRequest,
		"place=..&file=" + name("x"):              http.StatusBadRequest,
		"place=&file=" + name("../../etc/passwd"): http.StatusNotFound,
		"place=failed&file=" + name("../waits"):   http.StatusNotFound,
		"place=&file=" + name(".spoolgore.js"):    http.StatusNotFound,
		"place=&file=" + name(".spoolgore.lock"):  http.StatusNotFound,
		"place=failed&file=" + name("gone.json"):  http.StatusNotFound, // a why-file is no message
		"place=&file=" + name("tmp"):              http.StatusNotFound,
		"place=&file=" + name(""):                 http.StatusNotFound,
		"place=&file=" + name("nothing"):          http.StatusNotFound,
	} {
		is.Equal(send(s.Handler(), request{path: "/message?" + path}).Code, want) // path
	}
	outside := filepath.Join(t.TempDir(), "secret")
	is.NoErr(os.WriteFile(outside, []byte("To: a@x\n\nthe secret"), 0o600))
	is.NoErr(os.Symlink(outside, filepath.Join(dir, "link")))
	got := send(s.Handler(), request{path: "/message?place=&file=" + name("link")})
	is.True(!strings.Contains(got.Body.String(), "the secret")) // a link is not followed
	got = send(s.Handler(), request{path: "/messages?state=new,unusable"})
	is.True(!strings.Contains(got.Body.String(), "the secret"))
}

func TestLookAtEveryAttempt(t *testing.T) {
	is := is.New(t)
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	first := record.Attempt{Time: at, Relay: "mail:25", TLS: "TLS 1.3", Reply: "450 \x1b[31mlater"}
	r := record.Recipient{History: &record.History{First: first, Last: first}}
	all, _ := tries(&r)
	is.Equal(len(all), 0) // the last attempt is in the message already
	last := record.Attempt{Time: at.Add(time.Hour), Error: "end: EOF"}
	r.History = &record.History{First: first, Last: last, Times: 9, Runs: []record.AttemptRun{{Attempt: first, Times: 1}, {Attempt: last, Until: at.Add(2 * time.Hour), Times: 5}}}
	all, leftOut := tries(&r)
	is.Equal(all, []try{
		{At: at, Times: 1, How: "mail:25, TLS 1.3", Reply: "450 \\x1b[31mlater"},
		{At: at.Add(time.Hour), Until: at.Add(2 * time.Hour), Times: 5, Reply: "end: EOF"},
	})
	is.Equal(leftOut, 3)
}

func name(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestMessageViewOfHostileContent(t *testing.T) {
	tests := map[string]struct{ text, want, trouble string }{
		"control characters": {"To: a@x.org\n\n\x1b]0;title\x07 \x9b \u202e \x00\n", "\\x1b]0;title\\a \\x9b \\u202e \\x00", ""},
		"no header":          {"\n\nhello\n", "", ""},
		"one long line":      {"To: a@x.org\n\n" + strings.Repeat("x", 3<<20), "…", ""},
		"parts in parts":     {nested(50), "", "more parts"},
		"a bad encoding":     {"To: a@x.org\nContent-Type: text/plain; charset=klingon\nContent-Transfer-Encoding: base64\n\n!!!!\n", "", ""},
		"deep HTML":          {"To: a@x.org\nContent-Type: text/html\n\n" + strings.Repeat("<div><b><table>", 60_000), "", ""},
		"many parts":         {"To: a@x.org\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Disposition: attachment; filename=\"\u202eexe.pdf\"\n\nx\n", 5_000), "", "more parts"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			drop(t, dir, "m", tt.text)
			s, _ := serve(t, dir, Options{})
			got := send(s.Handler(), request{path: "/message?place=&file=" + name("m")})
			is.Equal(got.Code, http.StatusOK)
			var in inside
			is.NoErr(json.Unmarshal(got.Body.Bytes(), &in))
			is.True(strings.Contains(in.Text, tt.want))
			is.True(strings.Contains(in.Trouble, tt.trouble))
			is.True(s.fault.Load() == nil)
			is.True(got.Body.Len() < 8<<20)
			hidden := regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f-\x{9f}\x{202a}-\x{202e}\x{2066}-\x{2069}]`)
			for _, text := range append([]string{in.Text, in.Header, in.Subject}, attachmentNames(in)...) {
				is.Equal(hidden.FindString(text), "") // all characters are visible
			}
		})
	}
}

func attachmentNames(in inside) (names []string) {
	for _, a := range in.Attachments {
		names = append(names, a.Name)
	}
	return names
}

// nested returns a message with that many parts, each inside the one before.
func nested(depth int) string {
	var b strings.Builder
	b.WriteString("To: a@x.org\n")
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	return b.String() + "\nhello\n"
}

func TestPartsOfAMessage(t *testing.T) {
	const html = "Content-Type: text/html; charset=iso-8859-1\n\n"
	tests := map[string]struct {
		text  string // header and body
		want  string
		files string // name, type and size of each file
	}{
		"plain":              {"X: y\n\nhello\n", "hello\n", ""},
		"a charset":          {"Content-Type: text/plain; charset=iso-8859-1\n\nGr\xfc\xdfe\n", "Grüße\n", ""},
		"base64":             {"Content-Transfer-Encoding: BASE64\n\naGVs\nbG8K\n", "hello\n", ""},
		"quoted":             {"Content-Transfer-Encoding: quoted-printable\n\na=3Db=\nc\n", "a=bc\n", ""},
		"HTML":               {html + "<p>Hello\n <b>Ann</b>,</p><div>a&lt;b &amp; c<br>next</div>", "Hello Ann,\na<b & c\nnext\n", ""},
		"what is not text":   {html + "<title>no</title><style>p{}</style><p>yes</p><script>no()</script><!-- no --><img alt=no>", "yes\n", ""},
		"an image":           {"Content-Type: image/png; name=\"a.png\"\nContent-Transfer-Encoding: base64\n\nAAAA\n", "", "a.png image/png 3"},
		"text as attachment": {"Content-Type: text/plain\nContent-Disposition: attachment; filename*=utf-8''b%C3%BC.txt\n\nx\n", "", "bü.txt text/plain 2"},
		"alternatives": {"Content-Type: multipart/alternative; boundary=b\n\n--b\n" + html + "<p>no</p>\n--b\nContent-Type: text/plain\n\nyes\n--b--\n",
			"yes", ""},
		"an empty alternative": {"Content-Type: multipart/alternative; boundary=b\n\n--b\n\n \n--b\n" + html + "<p>yes</p>\n--b--\n", "yes", ""},
		"cut off":              {"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nyes\n--b\nContent-Type: image/png\n", "yes", ""},
		"no boundary":          {"Content-Type: multipart/mixed\n\nx\n", "", " multipart/mixed 2"},
		"a bad type":           {"Content-Type: ;;;\n\nhello\n", "hello\n", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			h, err := message.ReadHeader(strings.NewReader(tt.text), int64(len(tt.text)))
			is.NoErr(err)
			_, body, _ := strings.Cut(tt.text, "\n\n")
			var p parts
			_ = p.take(h.Get, strings.NewReader(body), 0) // a broken message is shown up to the error
			is.Equal(strings.TrimRight(p.text(), "\n"), strings.TrimRight(tt.want, "\n"))
			var files []string
			for _, f := range p.files {
				files = append(files, fmt.Sprint(f.Name, " ", f.Type, " ", f.Size))
			}
			is.Equal(strings.Join(files, "\n"), tt.files)
		})
	}
}
