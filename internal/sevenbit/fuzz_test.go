package sevenbit

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Invariants, for any message:
//   - the error is ErrSigned or ErrBroken, or there is none;
//   - the size is exact, and content can be read again, in pieces of any size;
//   - nothing but headers holds octets above 127;
//   - a parser that works on the whole text, unlike the code tested, finds the same tree of entities; a leaf with octets above
//     127 decodes to what it was, in lines of at most 76 octets; everything else is as it was;
//   - a second conversion changes nothing.
func FuzzConvert(f *testing.F) {
	for _, row := range table {
		f.Add(row.in, uint16(0), 1)
	}
	f.Add("A: 1\n\n~é\n", uint16(8184), 7)
	f.Add("Content-Type: multipart/mixed; boundary=b\n\n--b\n\né~\n--b~\n--b\n\n~--b\n--b--é\n--b--\n~", uint16(75), 100)
	f.Add("Content-Type: multipart/a; boundary=b\n\n--b\nContent-Type: multipart/digest; boundary=b--\n\n--b--\n\né\n\n--b--\n", uint16(0), 2)
	f.Add("MIME-Version: 1.0\nContent-Type: message/rfc822\n\nX\n\n---------------------------------------------é"+
		"---------------------------------------------------------------------------\n", uint16(0), 3)
	f.Fuzz(func(t *testing.T, text string, stretch uint16, step int) {
		text = sourceOf(strings.Replace(text, "~", strings.Repeat("x", int(stretch)), 2))
		content, size, err := Convert(openOf(text))
		if err != nil {
			if !errors.Is(err, ErrSigned) && !errors.Is(err, ErrBroken) {
				t.Fatal(err)
			}
			return
		}
		out := convert(t, text)
		if size != int64(len(out)) || !strings.HasSuffix(out, "\r\n") || out != sourceOf(out) {
			t.Fatalf("%d octets, converted to %q", size, out)
		}
		if twice := convert(t, out); twice != out {
			t.Fatalf("%q, converted again %q", out, twice)
		}
		checkSteps(t, text, out, 1+int(uint(step)%10_000))
		if !eightBit([]byte(text)) && out != text {
			t.Fatalf("7-bit text %q, now %q", text, out)
		}
		if before := parse(text, nil, nil); content != nil && !before.conflict {
			compare(t, before, parse(out, nil, nil))
		}
	})
}

// checkSteps reads a source that gives an octet at a time, in steps.
func checkSteps(t *testing.T, text, want string, step int) {
	t.Helper()
	slow := func() io.Reader { return iotest.HalfReader(iotest.DataErrReader(strings.NewReader(text))) }
	content, _, err := Convert(slow)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for r, p := content(), make([]byte, step); err == nil; {
		var n int
		n, err = r.Read(p)
		got = append(got, p[:n]...)
	}
	if err != io.EOF || string(got) != want {
		t.Fatalf("in steps of %d %q, want %q: %v", step, got, want, err)
	}
}
