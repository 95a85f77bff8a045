package sevenbit

import (
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// sourceOf returns the source of a message for Convert, with CRLF line ends.
func sourceOf(text string) string {
	text = strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\r", " ").Replace(text)
	if !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	return text
}

func openOf(text string) func() io.Reader {
	return func() io.Reader { return strings.NewReader(text) }
}

// convert converts text, and checks the guarantees for every message.
func convert(t *testing.T, text string) string {
	t.Helper()
	is := is.New(t)
	content, size, err := Convert(openOf(text))
	is.NoErr(err)
	out, err := io.ReadAll(content())
	is.NoErr(err)
	is.Equal(size, int64(len(out))) // the size is exact
	again, err := io.ReadAll(content())
	is.NoErr(err)
	is.Equal(string(again), string(out)) // content can be read again
	return string(out)
}

// A node is an entity, as a simple parser in memory finds it: outer parts first, then the inner ones.
type node struct {
	entity
	header   string
	body     string   // of a leaf
	around   []string // of a multipart: the text around its parts, with the boundary lines
	conflict bool     // a boundary is also a boundary of an outer entity: parsers differ in its meaning
	parts    []node
}

func parse(text string, parent *entity, outer []string) node {
	n := node{header: text}
	if body, ok := strings.CutPrefix(text, "\r\n"); ok {
		n.header, n.body = "", body
	} else if head, body, ok := strings.Cut(text, "\r\n\r\n"); ok {
		n.header, n.body = head+"\r\n", body
	}
	n.entity = newEntity([]byte(n.header), parent)
	if len(outer) >= maxDepth {
		n.entity.close()
	}
	b := n.boundary
	for _, o := range outer {
		n.conflict = n.conflict || b != "" && (b == o || b == o+"--" || o == b+"--")
	}
	switch outer = append(outer[:len(outer):len(outer)], b); {
	case n.wraps:
		n.parts = []node{parse(n.body, &n.entity, outer)}
		n.body = ""
	case b != "":
		for _, part := range n.split() {
			n.parts = append(n.parts, parse(part, &n.entity, outer))
		}
		n.body = ""
	}
	for _, p := range n.parts {
		n.conflict = n.conflict || p.conflict
	}
	return n
}

// split returns the texts of the parts of a multipart.
func (n *node) split() (parts []string) {
	var text []string // lines of the current part
	inPart, over := false, false
	end := func(delimited bool) {
		s := strings.Join(text, "")
		if delimited && inPart {
			s = strings.TrimSuffix(s, "\r\n")
		}
		if text = nil; inPart {
			parts = append(parts, s)
		} else {
			n.around = append(n.around, s)
		}
	}
	for line := range strings.SplitAfterSeq(n.body, "\r\n") {
		rest, ok := strings.CutPrefix(line, "--"+n.boundary)
		rest = strings.TrimRight(rest, " \t\r\n")
		if over || !ok || rest != "" && rest != "--" || len(line) > maxLine {
			text = append(text, line)
			continue
		}
		end(true)
		n.around = append(n.around, line)
		over = rest == "--"
		inPart = !over
	}
	end(false)
	return parts
}

// decoded returns the decoded body of a leaf.
func (n *node) decoded(t *testing.T) string {
	t.Helper()
	var r io.Reader = strings.NewReader(n.body)
	switch n.encoding {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("decode %q: %v", n.body, err)
	}
	return string(b)
}

// compare compares a converted message with the original: the same tree, the same text in every leaf, and no other
// change.
func compare(t *testing.T, before, after node) {
	t.Helper()
	eight := len(before.parts) == 0 && eightBit([]byte(before.body))
	switch {
	case len(before.parts) != len(after.parts):
		t.Fatalf("%d parts, now %d: %q", len(before.parts), len(after.parts), after.header)
	case strings.Join(before.around, "\x00") != strings.Join(after.around, "\x00"):
		t.Fatalf("around the parts %q, now %q", before.around, after.around)
	case eightBit([]byte(after.body + strings.Join(after.around, ""))):
		t.Fatalf("octets above 127 in %q", after.body)
	case eight && after.decoded(t) != before.body:
		t.Fatalf("body %q decodes to %q", before.body, after.decoded(t))
	case !eight && after.body != before.body:
		t.Fatalf("body %q, now %q", before.body, after.body)
	case !eight && len(before.parts) == 0 && after.header != before.header:
		t.Fatalf("header %q, now %q", before.header, after.header)
	}
	want := without(before.header)
	if eight && before.message && !before.version {
		want += "MIME-Version: 1.0\r\n"
		if !before.typed {
			want += strings.TrimPrefix(without(after.header), want)
		}
	}
	if without(after.header) != want {
		t.Fatalf("header %q, now %q", before.header, after.header)
	}
	if eight {
		checkLines(t, after.body)
	}
	for i := range before.parts {
		compare(t, before.parts[i], after.parts[i])
	}
}

// without returns a header without the field Content-Transfer-Encoding.
func without(header string) string {
	var b strings.Builder
	for name, text := range fields([]byte(header)) {
		if name != encodingName {
			b.Write(text)
		}
	}
	return b.String()
}

// checkLines checks the lines of an encoded body: the limit of their length, and that none looks like a boundary line.
func checkLines(t *testing.T, body string) {
	t.Helper()
	for line := range strings.SplitSeq(body, "\r\n") {
		if len(line) > 76 || strings.HasPrefix(line, "--") || strings.TrimRight(line, " \t") != line {
			t.Fatalf("encoded line %q", line)
		}
	}
}
