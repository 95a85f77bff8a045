package sevenbit

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/jhillyerd/enmime/v2"
	"github.com/matryer/is"
)

const (
	mixed = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n"
	plain = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
	utf8T = "Content-Type: text/plain; charset=utf-8\n"
	eight = "Content-Transfer-Encoding: 8bit\n"
	seven = "Content-Transfer-Encoding: 7bit\n"
	qp    = "Content-Transfer-Encoding: quoted-printable\n"
	b64   = "Content-Transfer-Encoding: base64\n"
	bin   = "Content-Type: application/octet-stream\n"
)

var mixed7 = strings.Replace(mixed, "8bit", "7bit", 1)

// Messages before and after, with LF line ends.
var table = []struct {
	name, in, out string
	odd           bool // not compared by means of enmime
}{
	{"single part", plain + eight + "\nGrüße \n", plain + qp + "\nGr=C3=BC=C3=9Fe=20\n", false},
	{"no field to replace", plain + "X: y\n\né=\n", plain + "X: y\n" + qp + "\n=C3=A9=3D\n", false},
	{"in place, folded, unfit lines", "Content-Transfer-Encoding:\n 8bit\njunk\n" + plain + "\né\n", qp + plain + "\n=C3=A9\n", false},
	{"several fields", eight + plain + eight + "\né\n", qp + plain + qp + "\n=C3=A9\n", false},
	{"no MIME", "A: b\n\né\n", "A: b\nMIME-Version: 1.0\n" + utf8T + qp + "\n=C3=A9\n", true},
	{"no MIME, not UTF-8", "A: b\n\n\xe9\n", "A: b\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n" + qp + "\n=E9\n", true},
	{"no MIME, unfinished UTF-8", "\n\xe2\x82\n", "MIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n" + qp + "\n=E2=82\n", true},
	{"no MIME-Version", "Content-Type: text/html\n\né\n", "Content-Type: text/html\nMIME-Version: 1.0\n" + qp + "\n=C3=A9\n", false},
	{"not text", "MIME-Version: 1.0\n" + bin + "\né\n", "MIME-Version: 1.0\n" + bin + b64 + "\nw6kNCg==\n", false},
	{"type without a slash", "MIME-Version: 1.0\nContent-Type: text\n\né\n", "MIME-Version: 1.0\nContent-Type: text\n" + qp + "\n=C3=A9\n", false},
	{"7-bit text", plain + eight + "\nabc\n--\n", plain + eight + "\nabc\n--\n", false},
	{"signed 7-bit text, header above 127", "Subject: é\nDKIM-Signature: x\n\nabc\n", "Subject: é\nDKIM-Signature: x\n\nabc\n", false},
	{"base64 with a 7-bit body", plain + b64 + "\nw6k=\n", plain + b64 + "\nw6k=\n", false},
	{"odd case, quotes, comments",
		"mime-version : 1.0\nCONTENT-TYPE: (a \\) (b))Multipart/MIXED(c) ; BOUNDARY = \"x (y\\)\"(d)\nContent-transfer-ENCODING : (x) \"8BIT\" (y);\n\n--x (y)\n\n\té\n--x (y)-- \n",
		"mime-version : 1.0\nCONTENT-TYPE: (a \\) (b))Multipart/MIXED(c) ; BOUNDARY = \"x (y\\)\"(d)\n" + seven + "\n--x (y)\n" + qp + "\n\t=C3=A9\n--x (y)-- \n", true},
	{"boundary that wants quotes", "Content-Type: multipart/mixed; boundary=-=_:/\n\n---=_:/\n\né\n---=_:/--\n",
		"Content-Type: multipart/mixed; boundary=-=_:/\n\n---=_:/\n" + qp + "\n=C3=A9\n---=_:/--\n", false},
	{"alternative", strings.Replace(mixed, "mixed", "alternative", 1) + "pre\n--b\n" + utf8T + eight + "\né\n\n--b\nContent-Type: text/html\n" + eight + "\na\n--b--\npost\n",
		strings.Replace(mixed7, "mixed", "alternative", 1) + "pre\n--b\n" + utf8T + qp + "\n=C3=A9\n\n--b\nContent-Type: text/html\n" + eight + "\na\n--b--\npost\n", false},
	{"nested", mixed + "--b\nContent-Type: multipart/related; boundary=\"bb\"\nContent-Transfer-Encoding: binary\n\n--bb\n" + utf8T + "\né\n--bb--\n--bb\n\n--b \n" + bin + b64 + "\nAA==\n--b--\n",
		mixed7 + "--b\nContent-Type: multipart/related; boundary=\"bb\"\n" + seven + "\n--bb\n" + utf8T + qp + "\n=C3=A9\n--bb--\n--bb\n\n--b \n" + bin + b64 + "\nAA==\n--b--\n", false},
	{"attachment", mixed + "--b\n\ntext\n--b\n" + bin + "Content-Transfer-Encoding: binary\n\n\xff\xfe\n\n--b--\n",
		mixed7 + "--b\n\ntext\n--b\n" + bin + b64 + "\n//4NCg==\n--b--\n", false},
	{"message inside", mixed + "--b\nContent-Type: message/rfc822\n" + eight + "\nDKIM-Signature: x\nSubject: y\n\né\n--b--\n",
		mixed7 + "--b\nContent-Type: message/rfc822\n" + seven + "\nDKIM-Signature: x\nSubject: y\nMIME-Version: 1.0\n" + utf8T + qp + "\n=C3=A9\n--b--\n", true},
	{"message inside, unfinished UTF-8", mixed7 + "--b\nContent-Type: message/rfc822\n\n\n\xe2\x82\n--b--\n",
		mixed7 + "--b\nContent-Type: message/rfc822\n\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n" + qp + "\n=E2=82\n--b--\n", true},
	{"header above 127 inside", mixed + "--b\nContent-Type: message/rfc822\n" + eight + "\nSubject: é\n" + plain + "\né\n--b--\n",
		mixed + "--b\nContent-Type: message/rfc822\n" + eight + "\nSubject: é\n" + plain + qp + "\n=C3=A9\n--b--\n", false},
	{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\n" + plain + "\né\n--b--\n", "Content-Type: multipart/digest; boundary=b\n\n--b\n\n" + plain + qp + "\n=C3=A9\n--b--\n", true},
	{"message leaf", "MIME-Version: 1.0\nContent-Type: message/delivery-status\n\né\n", "MIME-Version: 1.0\nContent-Type: message/delivery-status\n" + qp + "\n=C3=A9\n", false},
	{"no last boundary", mixed + "--b\n\né\n", mixed7 + "--b\n" + qp + "\n=C3=A9\n", false},
	{"no last boundary, base64", mixed + "--b\n" + bin + "\né\n", mixed7 + "--b\n" + bin + b64 + "\nw6kNCg==\n", false},
	{"inner boundary missing", mixed + "--b\nContent-Type: multipart/x; boundary=c\n\n--c\n\né\n--b\n\né\n--b--\n",
		mixed7 + "--b\nContent-Type: multipart/x; boundary=c\n\n--c\n" + qp + "\n=C3=A9\n--b\n" + qp + "\n=C3=A9\n--b--\n", false},
	{"parts without body", mixed + "--b\n--b\nA: b\n--b\nA: b\n\n--b\n\n\n--b\n\né\n--b--\n", mixed7 + "--b\n--b\nA: b\n--b\nA: b\n\n--b\n\n\n--b\n" + qp + "\n=C3=A9\n--b--\n", false},
	{"lookalikes", mixed + "--b\n\n--bb\n --b\n--b-\n--b--x\n--B\n-- b\n--\né\n--b--\n--b\n",
		mixed7 + "--b\n" + qp + "\n=2D-bb\n --b\n=2D-b-\n=2D-b--x\n=2D-B\n=2D- b\n=2D-\n=C3=A9\n--b--\n--b\n", true},
	{"a line cut in front of dashes", mixed + "--b\n\né" + strings.Repeat("x", 69) + "--b\n--b--\n",
		mixed7 + "--b\n" + qp + "\n=C3=A9" + strings.Repeat("x", 69) + "=\n=2D-b\n--b--\n", true},
	{"a long line of dashes", plain + "\né\n" + strings.Repeat("-", 76) + "\n",
		plain + qp + "\n=C3=A9\n=2D=\n=2D=\n=2D" + strings.Repeat("-", 72) + "=\n-\n", false},
}

func TestConvert(t *testing.T) {
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			in := sourceOf(row.in)
			out := convert(t, in)
			is.Equal(out, sourceOf(row.out))
			is.Equal(convert(t, out), out) // a second conversion changes nothing
			compare(t, parse(in, nil, nil), parse(out, nil, nil))
		})
	}
}

// A mail program finds the same parts with the same content before and after. Messages that enmime itself reads
// differently are left out: comments in a type, the default type in a digest, a text without a charset, invalid
// boundaries.
func TestPartsAreTheSameToEnmime(t *testing.T) {
	for _, row := range table {
		if row.odd {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			in := sourceOf(row.in)
			is.Equal(partsOf(t, convert(t, in)), partsOf(t, in))
		})
	}
}

// partsOf returns type and decoded content of all parts. Charsets are not converted: enmime guesses a missing charset
// from the octets, and those differ before decoding.
func partsOf(t *testing.T, text string) (parts []string) {
	t.Helper()
	p := enmime.NewParser(enmime.DisableTextConversion(true), enmime.DisableCharacterDetection(true))
	root, err := p.ReadParts(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	root.DepthMatchAll(func(p *enmime.Part) bool {
		if p.ContentType == "message/rfc822" {
			parts = append(parts, partsOf(t, string(p.Content))...)
			return false
		}
		parts = append(parts, p.ContentType+" "+string(p.Content))
		return false
	})
	return parts
}

func TestMessagesThatCannotBeConverted(t *testing.T) {
	deep := strings.Repeat("Content-Type: message/rfc822\n\n", maxDepth)
	for _, row := range []struct {
		name, in string
		want     error
		text     string
	}{
		{"DKIM", "dkim-signature: v=1\n" + plain + "\né\n", ErrSigned, "signed"},
		{"ARC", "ARC-Message-Signature: i=1\n" + mixed + "--b\n\né\n--b--\n", ErrSigned, "signed"},
		{"multipart/signed", "Content-Type: multipart/signed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nA: b\n\né\n--b--\n", ErrSigned, "signed"},
		{"S/MIME", mixed + "--b\nContent-Type: application/pkcs7-mime; smime-type=\"Signed-Data\"\n\né\n--b--\n", ErrSigned, "signed"},
		{"base64", plain + b64 + "\né\n", ErrBroken, "base64"},
		{"quoted-printable", mixed + "--b\n" + qp + "\né\n--b--\n", ErrBroken, "quoted-printable"},
		{"unknown encoding", plain + "Content-Transfer-Encoding: x-uuencode\n\né\n", ErrBroken, "x-uuencode"},
		{"encoded message inside", "Content-Type: message/rfc822\n" + b64 + "\nA: b\n\né\n", ErrBroken, "base64"},
		{"piece of a message", "Content-Type: message/partial; id=a; number=1\n\né\n", ErrBroken, "message/partial"},
		{"preamble", mixed + "é\n--b\n\na\n--b--\n", ErrBroken, "outside the parts"},
		{"epilogue", mixed + "--b\n\na\n--b--\né\n", ErrBroken, "outside the parts"},
		{"part behind the last boundary", mixed + "--b--\n--b\n\né\n--b--\n", ErrBroken, "outside the parts"},
		{"boundary", "Content-Type: multipart/x; boundary=\"é\"\n\n--é\n\na\n--é--\n", ErrBroken, "outside the parts"},
		{"no boundary", "Content-Type: multipart/mixed\n\né\n", ErrBroken, "outside the parts"},
		{"too deep", deep + "Content-Type: message/rfc822\n\nA: b\n\né\n", ErrBroken, "too deep"},
		{"long header", "A: " + strings.Repeat("x", maxHeader) + "\n\né\n", ErrBroken, "1 MiB"},
		{"too many entities", mixed + strings.Repeat("--b\n", maxEntities), ErrBroken, "65536"},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			content, _, err := Convert(openOf(sourceOf(row.in)))
			is.True(errors.Is(err, row.want))
			is.True(strings.Contains(err.Error(), row.text)) // the error has the reason
			is.True(content == nil)                          // no content is returned
		})
	}
}

func TestNestingLimit(t *testing.T) {
	is := is.New(t)
	deep := strings.Repeat("Content-Type: message/rfc822\n\n", maxDepth)
	is.True(!eightBit([]byte(convert(t, sourceOf(deep+"\né\n"))))) // this text is converted
	in := sourceOf("Subject: é\n" + deep + deep + "A: b\n\na\n")
	is.Equal(convert(t, in), in) // 7-bit text may be nested more deeply
}

// Pieces of long lines meet the end of the read buffer in every position.
func TestLongLines(t *testing.T) {
	for n := maxLine - 80; n < maxLine+4; n++ {
		is := is.New(t)
		x := strings.Repeat("x", n)
		text := sourceOf("A: b\nContent-Type: multipart/mixed; boundary=b\n\n" + x + "\n--b\n" + bin + "\n" + x + "é\n\n--b\nX: " + x + "\n\n" + x + "€" + x + "--b\n--b--\n")
		out := convert(t, text)
		compare(t, parse(text, nil, nil), parse(out, nil, nil))
		out = convert(t, sourceOf("\n"+x+"€\n"))
		is.True(strings.Contains(out, "charset=utf-8")) // a character that was cut in two is complete
	}
}

func TestReadErrorIsReported(t *testing.T) {
	is := is.New(t)
	broken := errors.New("disk on fire")
	text := sourceOf(plain + "\né\n")
	opened, bad := 0, 0
	open := func() io.Reader {
		if opened++; opened == bad {
			return io.MultiReader(strings.NewReader(text[:len(text)-2]), iotest.ErrReader(broken))
		}
		return strings.NewReader(text)
	}
	for bad = 1; bad <= 2; bad++ {
		opened = 0
		_, _, err := Convert(open)
		is.True(errors.Is(err, broken)) // in both passes
	}
	opened = 0
	content, _, err := Convert(open)
	is.NoErr(err)
	r := content()
	_, err = io.ReadAll(r)
	is.True(errors.Is(err, broken)) // an error in the second pass, and never a shorter message
	_, err = r.Read(make([]byte, 1))
	is.True(errors.Is(err, broken)) // the error again
}

// repeated is a reader that repeats a text.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		m := copy(p[n:], r.text[r.at:])
		r.at = (r.at + m) % len(r.text)
		n += m
	}
	return n, nil
}

func TestMemoryDoesNotDependOnSize(t *testing.T) {
	for name, line := range map[string]string{"lines": "Grüße\r\n", "one line": "Grüße -- "} {
		for kind, header := range map[string]string{"base64": bin, "quoted-printable": utf8T, "bare": ""} {
			t.Run(kind+" "+name, func(t *testing.T) {
				is := is.New(t)
				const body = 4 << 20
				open := func() io.Reader {
					return io.MultiReader(strings.NewReader(sourceOf(header+"\n")), io.LimitReader(&repeated{text: line}, body), strings.NewReader("\r\n"))
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				content, size, err := Convert(open)
				is.NoErr(err)
				n, err := io.Copy(io.Discard, content())
				is.NoErr(err)
				runtime.ReadMemStats(&after)
				is.True(n == size && n > body)                        // the whole message was read
				is.True(after.TotalAlloc-before.TotalAlloc < 256<<10) // little memory was allocated
			})
		}
	}
}
