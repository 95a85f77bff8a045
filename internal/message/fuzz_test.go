package message

import (
	"errors"
	"io"
	"net/mail"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"
)

var (
	fieldLine = regexp.MustCompile(`^([!-9;-~]+)[ \t]*:`)
	url       = regexp.MustCompile(`^[^:]*://`)
	lineEnds  = regexp.MustCompile(`\r+\n`)
	topLines  = regexp.MustCompile(`^(?i)((x-sender|x-receiver|x-spoolgore-(expire|notbefore|priority)|` +
		`x-createdby|x-endofinjectedxheaders|x-extendedmessageprops|x-helodomain|x-source|x-sourceipaddress)` +
		`[ \t]*:[^\n]*(\n|$)([ \t][^\n]*(\n|$))*)+`)
	topFields   = regexp.MustCompile(`(?im)^(x-receiver|x-spoolgore-(expire|notbefore|priority))[ \t]*:`)
	privateName = regexp.MustCompile(`(?i)^(Bcc|Resent-Bcc|Return-Path)$`)
)

// reference returns the content as sent, in the simplest way and independent of the code under test.
func reference(text string, front func(has func(name string) bool) string) string {
	text = strings.ReplaceAll(lineEnds.ReplaceAllString(text, "\n"), "\r", " ")
	text = strings.TrimPrefix(text, bom)
	if len(text) >= len(envelopeName) && strings.EqualFold(text[:len(envelopeName)], envelopeName) {
		_, text, _ = strings.Cut(text, "\n")
		text = withoutMboxLines(strings.TrimPrefix(text, bom))
	} else if block := topLines.FindString(text); topFields.MatchString(block) {
		text = text[len(block):]
	} else {
		text = withoutMboxLines(text)
	}
	var kept, names []string
	private := false
	for text != "" {
		line, rest, _ := strings.Cut(text, "\n")
		m := fieldLine.FindStringSubmatch(line)
		if url.MatchString(line) {
			m = nil
		}
		if line == "" && text[0] == '\n' {
			text = rest
			break
		}
		if m == nil && (len(names) == 0 || line == "" || line[0] != ' ' && line[0] != '\t') {
			break
		}
		if m != nil {
			names = append(names, strings.ToLower(m[1]))
			private = privateName.MatchString(m[1])
		}
		if text = rest; !private {
			kept = append(kept, line+"\r\n")
		}
	}
	body := text
	has := func(name string) bool { return strings.Contains("\n"+strings.Join(names, "\n")+"\n", "\n"+name+"\n") }
	return front(has) + strings.Join(kept, "") + "\r\n" + naiveBody(body)
}

func withoutMboxLines(text string) string {
	for prefix := "From "; strings.HasPrefix(text, prefix); prefix = ">From " {
		first, rest, _ := strings.Cut(text, "\n")
		if fieldLine.MatchString(first) {
			break
		}
		text = rest
	}
	return text
}

// Invariants, for any file whose header fits:
//   - what goes out is the reference above: nothing but the named changes;
//   - read again, it has no Bcc, Resent-Bcc or Return-Path, and the To and Cc recipients it had: recipients parsed =
//     recipients stripped, no line of a hidden field is left over to be glued to another field;
//   - every address is fit for the wire, or has an error and is fit for a log.
func FuzzHeader(f *testing.F) {
	for _, text := range []string{
		"", "\n", "hello", "From: f@x\nTo: a@x, b@x\nBcc: c@x\n d@x\ne@x\nSubject: x\n\nbody\n",
		"X-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"a@x\"]}\r\nFrom a@x Mon\r\nBcc : c@x\r\n\r\n",
		bom + "From : f@x\nTo: Doe, John <a@x>; root\nResent-Bcc: r@x\nReturn-Path: <>\n",
		"A: 1\r\n\r\r\nBcc\r: c@x\n\x01: d@x\nDate: d\nMessage-ID: m\n\r\nx\ry\r",
		"To: <=?utf-8?Q?victim=40x.org=3E_NOTIFY=3DNEVER?=@x.org>, \"=\\?utf-8?Q?a=0D=0ARCPT?=\"@x.org\n\n",
		"To: (c (d) <@r:a@x>, G: b@[IPv6:::1] (e), \"q r\"@x; c@x d@x <e@x>\n\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ReadHeader(strings.NewReader(text), int64(len(text)))
		if errors.Is(err, ErrHeaderTooLong) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		a := h.Addresses()
		for _, list := range [][]Address{a.To, a.Cc, a.Bcc, {{Addr: a.From}}} {
			checkList(t, list)
		}
		out := contentOf(t, text, added)
		want := reference(text, func(has func(string) bool) (front string) {
			if !has("date") {
				front = dateLine
			}
			if !has("message-id") {
				front += idLine
			}
			return front
		})
		if out != want {
			t.Fatalf("sent %q\nwant %q", out, want)
		}
		again := headerOf(t, out)
		for _, name := range []string{"Bcc", "Resent-Bcc", "Return-Path"} {
			if hasField(again.fields, name) {
				t.Fatalf("%s is left in %q", name, out)
			}
		}
		if h.envelope != nil || again.envelope != nil || hasField(h.fields, "Resent-Bcc") {
			return
		}
		if b := again.Addresses(); show(a.To) != show(b.To) || show(a.Cc) != show(b.Cc) {
			t.Fatalf("recipients %v before, %v after", a, b)
		}
	})
}

// checkList checks every address against the comment of its type; the empty one is the null sender.
func checkList(t *testing.T, list []Address) {
	t.Helper()
	for _, a := range list {
		if strings.IndexFunc(a.Addr, unicode.IsControl) >= 0 || !utf8.ValidString(a.Addr) {
			t.Fatalf("address %q", a.Addr)
		}
		if a.Err != nil && len(a.Addr) > 200 {
			t.Fatalf("text of %d bytes in place of an address", len(a.Addr))
		}
		if a.Err == nil && a.Addr != "" && CheckAddress(a.Addr) != nil {
			t.Fatalf("address %q: %v", a.Addr, CheckAddress(a.Addr))
		}
	}
}

// Invariants:
//   - an envelope that is written is one line, and reads back as it was, whatever follows it in the file;
//   - an envelope line by another program gives an error, or addresses that are checked and wishes that hold no line end.
func FuzzEnvelopeLine(f *testing.F) {
	f.Add("f@x", "a@x", "\"b c\"@x", "HDRS", "id", "NEVER", "rfc822;a@x", int64(0), 0, `{"from":"f@x","to":["a@x"]}`)
	f.Add("", "ü@x", "a@[IPv6:::1]", "", "", "SUCCESS,DELAY", "", int64(1e18), -1, `{"to":["a\r\n@x","\ud800@x"],"ret":"FULL"}`)
	f.Add("a@x\r\nb", "<a@x>", "", "FULL ", "\r\n", "NEVER\r\n", ";", int64(-1), 1, `{"to":["a@x"],"notify":["NEVER\n"]} x`)
	f.Fuzz(func(t *testing.T, from, to1, to2, ret, envID, notify, orcpt string, when int64, prio int, raw string) {
		e := Envelope{
			From: from, To: []string{to1, to2}, Ret: ret, EnvID: envID, Notify: []string{notify}, ORcpt: []string{"", orcpt},
			NotBefore: time.Unix(0, when).UTC(), Priority: prio,
		}
		if line, err := e.AppendLine(nil); err == nil {
			if strings.IndexFunc(string(line[:len(line)-1]), unicode.IsControl) >= 0 {
				t.Fatalf("control character in %q", line)
			}
			got, err := headerOf(t, string(line)+raw).Envelope(time.Time{})
			if err != nil || !reflect.DeepEqual(*got, e) {
				t.Fatalf("wrote %+v, read %+v: %v", e, got, err)
			}
		}
		h, err := ReadHeader(strings.NewReader(envelopeName+raw), int64(len(envelopeName+raw)))
		if err != nil {
			return
		}
		checkList(t, h.Addresses().To)
		env, err := h.Envelope(time.Time{})
		if (env == nil) != (err != nil) {
			t.Fatalf("envelope %v with error %v", env, err)
		}
		if env != nil && strings.ContainsAny(env.Ret+env.EnvID+strings.Join(env.Notify, "")+strings.Join(env.ORcpt, ""), "\r\n\x00") {
			t.Fatalf("line end in %+v", env)
		}
	})
}

// Invariants: an address before and one behind any list survive it, as long as nothing in the list is left open; every
// address is fit for the wire; a list that follows RFC 5322 yields as many addresses as it has.
func FuzzAddressList(f *testing.F) {
	for _, v := range []string{
		"a@x", "Doe, John <a@x>", "<<a@x>>", "(c) a@x", "G: a@x, b@x;", "a@x; b@x c@x", `"=\?utf-8\?Q\?a=0D=0A\?="@x, root`,
		"<@r,@s:a@x>", "a@[IPv6:::1]", "old@x <new@x>", `"a  b"@x c@x`, "<a@x, b@y", `"`, "(", "[", ":;<>", "a@x (b", "\xff\x00<\uFDD0@x>",
	} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list := parseList(value)
		checkList(t, list)
		if strict, err := mail.ParseAddressList(value); err == nil && len(strict) != len(list) {
			t.Fatalf("%d addresses, want %d: %s", len(list), len(strict), show(list))
		}
		if list := parseList("good@x.org, " + value); len(list) == 0 || list[0] != (Address{Addr: "good@x.org"}) {
			t.Fatalf("lost the address in front: %s", show(list))
		}
		if strings.ContainsAny(value, "\"([<:\\\x1b\x0e") {
			return
		}
		if list := parseList(value + ", good@x.org"); len(list) == 0 || list[len(list)-1] != (Address{Addr: "good@x.org"}) {
			t.Fatalf("lost the address behind: %s", show(list))
		}
	})
}

// Invariants: the body goes out as the reference says, every line ends in CRLF, there is no other CR or LF, Measure
// agrees, and the sizes of the Read calls make no difference. Bodies are stretched so that they cross the read buffer.
func FuzzContent(f *testing.F) {
	f.Add("", uint16(0), 1)
	f.Add("a\nb\r\nc\rd\r\r\ne\n\r", uint16(8190), 3)
	f.Add("\r", uint16(8186), 7)
	f.Add(".\n..\n\x00\xff", uint16(100), 8192)
	f.Fuzz(func(t *testing.T, body string, stretch uint16, step int) {
		text := "A: 1\n\n" + strings.Repeat("x", int(stretch)) + body
		out := contentOf(t, text, Added{})
		if want := "A: 1\r\n\r\n" + naiveBody(text[6:]); out != want {
			t.Fatalf("sent %q\nwant %q", out, want)
		}
		if !strings.HasSuffix(out, "\r\n") || strings.ContainsAny(strings.ReplaceAll(out, "\r\n", ""), "\r\n") {
			t.Fatalf("line ends in %q", out)
		}
		h := headerOf(t, text)
		content := func() *Content { return h.Content(strings.NewReader(text), int64(len(text)), Added{}) }
		size, eight, err := content().Measure()
		if err != nil || size != int64(len(out)) || eight != HasUTF8(out) {
			t.Fatalf("measured %d, %v, %v for %q", size, eight, err, out)
		}
		var got []byte
		c, p := content(), make([]byte, 1+uint(step)%10_000)
		for {
			n, err := c.Read(p)
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil || n == 0 {
				t.Fatalf("read %d bytes: %v", n, err)
			}
		}
		if string(got) != out {
			t.Fatalf("in steps of %d %q\nwant %q", len(p), got, out)
		}
	})
}

// A single address is read as enmime reads it: the parser of net/mail alone accepts no less.
func FuzzPieces(f *testing.F) {
	for _, list := range []string{
		"", "root", "a@x", "<a@x>", "Ann <a@x>", "a b@x", "a@x b", "a@x\v.org", "a@x\u00a0", "\"q u\"@x", "\"a@b c\"@x",
		"<@r:a@x>", "a@[IPv6:::1]", "a@[1;2]", "G: a@x;", "(c) a@x (d)", "=?utf-8?Q?a=40x?=", "<=?utf-8?q?a?=@x>", "a@x\t\t.org",
		"\"a;b\"@x;", "a@x <b@x>", "a..b@x", "a@x@y", "<a@x", "a@x>", "@", "a@", "a@x\v", "\\@x", "a@\u2003x",
	} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		list = strings.ReplaceAll(strings.ToValidUTF8(list, "\uFFFD"), "?", placeholder)
		for _, p := range splitList(list) {
			want, err := enmime.ParseAddressList(p.spec())
			if err != nil || len(want) != 1 {
				continue
			}
			got, err := mail.ParseAddressList(p.spec())
			if err != nil || len(got) != 1 || got[0].Address != want[0].Address {
				t.Errorf("%q: enmime reads %v, net/mail %v (%v)", p.spec(), want, got, err)
			}
		}
	})
}
